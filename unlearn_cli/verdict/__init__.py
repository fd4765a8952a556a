"""The statistical verdict: gates by equivalence tests, controls that show they mean something. No torch."""
