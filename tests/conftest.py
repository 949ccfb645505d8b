"""What all tests share: a thread each. Several run at once, and one thread makes the same sums wherever it runs."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch
