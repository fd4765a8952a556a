"""From what requests name to records of the training data."""
