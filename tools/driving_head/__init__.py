"""A software-rendered talking head with exact ground truth.

Meshes (head, body) -> textures (paint) -> triangles in a depth buffer (raster) -> light (shading);
the performance is a table of key poses (script) with a synthesised voice (voice). numpy, scipy and
OpenCV only, no assets: everything is computed here.
"""
