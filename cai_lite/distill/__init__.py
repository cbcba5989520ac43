"""The teacher's half: draft, critique, revise, judge, pair. One stage a file; they meet training only at
pairs.jsonl.
"""
