"""Stage 1: which pixels of a frame are skin, and which of them are head and hands."""
