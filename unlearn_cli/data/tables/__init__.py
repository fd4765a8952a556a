"""Tables (csv, jsonl, parquet) behind DuckDB: cells, conditions on columns, files of ids."""
