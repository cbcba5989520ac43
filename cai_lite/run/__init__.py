"""The run directory: its database, its files, and the progress display."""
