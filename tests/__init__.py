"""Tests, and what they share."""

import os

# Two workers share the cores with the servers that they start: threads that wait for each other would cost more.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy reads it when it is imported
