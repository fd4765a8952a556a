"""What is measured of checkpoints: their outputs, the inputs of metrics and attacks, and running these."""
