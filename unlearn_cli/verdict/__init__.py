"""The statistical verdict: gates by equivalence tests, and controls that show whether they are meaningful. No torch."""
