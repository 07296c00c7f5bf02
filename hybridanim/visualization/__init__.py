"""Drawings, videos and reports of the stages' outputs."""
