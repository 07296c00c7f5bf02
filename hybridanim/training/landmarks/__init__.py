"""Training of the landmark cascade."""
