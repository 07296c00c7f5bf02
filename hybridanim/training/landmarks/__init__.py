"""Training of the landmark cascade (face/aligner.py)."""
