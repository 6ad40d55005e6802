"""A run as one HTML file that opens from disk. Pure functions, and assets written by hand."""
