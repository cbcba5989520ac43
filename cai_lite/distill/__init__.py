"""Stages that make preference pairs: draft, critique, revise, judge and pair, one module per stage.

Nothing here imports `training`: pairs.jsonl is the only connection between the two packages.
"""
