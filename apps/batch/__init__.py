"""Many animations in one go: planned, resumable, over processes or a cluster."""
