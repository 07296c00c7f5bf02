"""Training the networks of models/: data, losses, the loop."""
