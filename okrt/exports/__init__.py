"""Runs as files that other tools read: Parquet, `datasets` folders, CSV, Inspect AI logs."""
