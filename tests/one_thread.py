"""To be imported before NumPy's and scikit-learn's users: libraries read this variable once.

The arrays of tests are tiny, so that several threads would only wait for each other, and OpenMP's do not survive the
forks that tests make. It also holds for processes that tests start: results are compared bit for bit.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
