"""Settings that libraries read from the environment when they are first imported.

A variable that the user has set is kept. Imported by every package that can be imported first.
"""

import os

SETTINGS = {
    # OpenCV refuses larger pictures by their headers
    "OPENCV_IO_MAX_IMAGE_PIXELS": "200000000",
    # linear algebra of NumPy and SciPy: the matrices are small, one thread is as fast as two, and
    # beside other programs two wait for each other four times as long as they compute
    "OPENBLAS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
