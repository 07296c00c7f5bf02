"""Parts of segmentation.py: colour clouds, blobs, hands, growing, where to look for the head."""
