"""Training of the matting network (networks/matte.py) on a teacher's masks."""
