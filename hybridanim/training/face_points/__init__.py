"""Training of the landmark networks (networks/face_points.py) on a teacher's meshes."""
