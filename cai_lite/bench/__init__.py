"""This library's training step beside other trainers', on the same model, pairs and precision, in one run."""
