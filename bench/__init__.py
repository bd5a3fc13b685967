"""What is timed, what is compared, what is shown on real data; not part of the installed package.

One thread for NumPy's matrix products: both sides of every comparison run on one core. The libraries behind NumPy read
these when it is imported, so they stand here, before anything else.
"""

import os

for _library in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "BLIS_NUM", "VECLIB_MAXIMUM"):
    os.environ[f"{_library}_THREADS"] = "1"

TURN = 1e-2  # seconds at least that a contender works before the next one's turn: on caches that are its own, as in use

CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()  # where this process may run


def stay_on(cores):
    """Let this process, and what it starts from here on, run on these processors only."""
    if cores:
        os.sched_setaffinity(0, cores)
