"""Parts of tracking.py: features, flow, templates, the head box and its rotation."""
