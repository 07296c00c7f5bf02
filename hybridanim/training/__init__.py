"""Training of the networks and of the landmark cascade."""
