"""Resolution of requests to records of the training data."""
