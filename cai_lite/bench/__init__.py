"""Time a training step of this library and of other trainers on the same model, pairs and precision, in one run."""
