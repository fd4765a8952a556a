"""The report: its schema, its composition, and the tables and pages made from it."""
