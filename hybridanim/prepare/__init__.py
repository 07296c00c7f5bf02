"""What is done once, before the first frame: source, matting, background, driver scan, view."""
