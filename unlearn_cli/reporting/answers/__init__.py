"""One answer per module: the parts of `sentences`."""
