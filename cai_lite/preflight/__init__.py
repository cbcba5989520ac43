"""Checks before a run costs anything: the machine, memory and time, the examples, a pilot on a few prompts."""
