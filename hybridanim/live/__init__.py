"""Parts of a live run: camera, loop, quality, outputs, window, server. apps/live joins them."""
