"""What is done once, before the first frame (source, matting, scan, view), and the recorder."""
