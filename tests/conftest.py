"""One thread for linear algebra: sums in another order tip thresholds, and workers would wait."""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # read when numpy is imported
    os.environ.setdefault(name, "1")
