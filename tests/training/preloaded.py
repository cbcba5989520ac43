"""What a forkserver does once, so that none of the processes that it starts does it again: imports, and a first model.

bitsandbytes stays out: no test of several processes has 4-bit weights, and importing it takes a quarter of the time.
"""

import gc
import sys
import tempfile

import torch

sys.modules["bitsandbytes"] = None  # type: ignore[assignment]
torch.set_num_threads(1)  # threads do not survive a fork

from cai_lite.training import loop, sharding  # noqa: E402, F401
from cai_lite.training.config import Lora  # noqa: E402
from cai_lite.training.student import open_student  # noqa: E402
from tests.training.conftest import save_tiny  # noqa: E402

with tempfile.TemporaryDirectory() as folder:
    open_student(save_tiny(folder), load=None, lora=Lora(), init_adapter=None, seed=0)
gc.freeze()  # none of this has to be looked through again
