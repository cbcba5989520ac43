"""Checks before anything is paid for: examples, a pilot on a few prompts, memory and time, the machine."""
