"""Data: reading records, selecting those to forget, and iterating over them in batches."""
