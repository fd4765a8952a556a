"""The report: its schema, how it is put together, and the tables and pages that people read."""
