"""Tables (csv, jsonl, parquet), read with DuckDB: cells, conditions on columns, files of ids."""
