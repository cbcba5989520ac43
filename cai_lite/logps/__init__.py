"""Compute log-probabilities of completions, with gradients: token layout, attention, output head, memory.

This package knows models and token ids, but no pairs, losses or runs.
"""
