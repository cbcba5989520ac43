"""Training methods: what a row is made of, what its loss is, and which checks and alarms belong to it.

The loop knows rows alone. It computes log-probabilities in as many passes as memory takes, adds up gradients, clips,
steps, writes checkpoints and resumes, whatever the method. To add a method, write an object with the members of
`Method` (or a subclass of it, which inherits what is optional) and name it in `METHODS`; `train.method` then takes it.

Methods import torch inside functions only, so that a recipe can be read without it. `config` is a `TrainingConfig`
everywhere; its module reads `METHODS` to check names, so it is not imported here.
"""

from __future__ import annotations

from cai_lite.training.methods.base import Method
from cai_lite.training.methods.dpo import Preference
from cai_lite.training.methods.listwise import Listwise
from cai_lite.training.methods.preference_model import PreferenceModelling
from cai_lite.training.methods.rl import Reinforcement
from cai_lite.training.methods.sft import Supervised

__all__ = ["METHODS", "Method"]

METHODS: dict[str, Method] = {
    "sft": Supervised(),
    "dpo": Preference(),
    "listwise": Listwise(),
    "preference_model": PreferenceModelling(),
    "rl": Reinforcement(),
}
"""Training methods by `train.method`."""
