"""Training data: clips on disk -> cached keypoints -> batches of pairs."""
