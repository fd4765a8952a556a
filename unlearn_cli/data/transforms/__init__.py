"""What `data.transform` makes of stored samples: one module per step, and the pipeline that applies them."""
