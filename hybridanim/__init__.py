"""Pure parts of the animation pipeline: types, geometry, classical vision, motion, rendering.

Nothing here keeps state between calls, prints or opens a device (``io`` alone does that).
The order of the pipeline lives in ``stages``; the command line in ``run_pipeline.py``.
"""

__version__ = "0.1.0"
