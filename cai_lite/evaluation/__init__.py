"""Measure a model on held-out prompts, alone or against the model that it was trained from.

`metrics.METRICS` lists every metric with the labels of its figures; each metric is a function over a `Subject` in a
file of its own. Adherence is never reported alone: refusals, form, length, perplexity and held-out preference accuracy
are reported with it, because a collapsed model can score well on adherence.
"""
