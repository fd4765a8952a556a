"""Statistics of scores and of counts, each number with its interval. NumPy and SciPy only, no torch."""
