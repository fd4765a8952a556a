"""Generates the reference and the results of the documentation: `python -m docs.generate`."""
