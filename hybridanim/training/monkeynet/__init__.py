"""Training of Monkey-Net: detector, dense motion, generator and discriminator together."""
