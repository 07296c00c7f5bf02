"""Live: a camera in, latest frame first, to a window, a browser, a virtual camera or a file."""
