"""Log-probabilities of completions, with their gradients: how the tokens lie, who sees whom, what is kept, how much
memory it takes. Knows models and token ids; nothing of pairs, losses or runs.
"""
