"""Training of dense motion network and generator."""
