"""The run directory: what is kept, written and shown while a run works."""
