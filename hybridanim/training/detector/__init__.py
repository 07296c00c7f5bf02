"""Training of the keypoint detector on the labels of a teacher."""
