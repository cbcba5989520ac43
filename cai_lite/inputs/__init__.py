"""Read constitutions, prompts and preference pairs; every fault is reported with its file, line and remedy."""
