"""Device, precision, processes, seeds, progress and resume: handled only here, so that methods are plain PyTorch."""
