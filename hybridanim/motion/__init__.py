"""Stages 3 and 4: sparse keypoint motion, its transfer to the source, and dense motion."""
