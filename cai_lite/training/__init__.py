"""The student's half: tokens, batch, logprobs, losses, reference, student, loop, checkpoint."""
