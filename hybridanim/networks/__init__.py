"""The learned networks in torch: keypoint detector, dense motion, generator, discriminator."""
