"""Networks: dense motion, generator, keypoint detector, discriminator; sizes in ``build``."""
