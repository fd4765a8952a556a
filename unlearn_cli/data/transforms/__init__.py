"""The transforms of `data.transform`: one module per step, and the pipeline that applies them."""
