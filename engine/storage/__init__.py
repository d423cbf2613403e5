"""What was seen, kept: journal (SQLite), archive (Parquet), query (DuckDB), replay, export."""
