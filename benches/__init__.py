"""Benchmarks of scalinglaws against named peers; see ``benches/README.md``."""

import os

# Before NumPy is imported, here and in every child process: the matrices are tiny, and threads that spin in
# the BLAS would only take the cores from whatever is being measured.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
