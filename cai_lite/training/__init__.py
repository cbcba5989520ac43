"""The student's half: token ids, batches, log-probabilities, losses, and the loop that trains a LoRA adapter."""
