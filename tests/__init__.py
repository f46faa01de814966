"""The suite."""

import os

# numpy's own BLAS threads fight over busy cores: a small product then takes 20 ms instead of 30 us.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
