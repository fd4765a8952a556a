"""Device, precision, seeds, progress and resume: known here only, so that methods stay textbook PyTorch."""
