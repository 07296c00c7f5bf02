"""Parts of alignment.py: the face points, the mean face, and how the weights were fitted."""
