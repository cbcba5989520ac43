"""How many rows are decoded together."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from cai_lite.chat.capacity import RowCost, batches, is_out_of_memory, row_cost
from tests.tiny import SIZES, hybrid


def test_batches_keep_the_order_and_hold_as_many_rows_as_fit():
    prompts, replies = [9, 9, 5, 5, 5, 1], [1, 1, 5, 1, 1, 1]
    asked = []

    def rows(prompt, width):
        asked.append((prompt, width))
        return 20 // width

    assert list(batches([0, 1, 2, 3, 4, 5], prompts, replies, rows)) == [[0, 1], [2, 3], [4, 5]]
    assert (9, 10) in asked and (5, 10) in asked and (5, 6) in asked


def test_a_row_that_is_too_wide_for_the_budget_is_a_batch_of_its_own():
    assert list(batches([0, 1], [50, 40], [1, 1], lambda prompt, width: 0)) == [[0], [1]]


def test_the_cache_of_a_row_is_measured():
    """Two layers, two heads of 8 for keys and values, float32: 256 bytes a token."""
    model = LlamaForCausalLM(LlamaConfig(**SIZES)).eval()
    cost = row_cost(model, 64)
    assert cost.cached == 2 * 2 * 2 * 8 * 4
    assert cost.layers == 2
    assert cost.prefill >= 64 * cost.cached + 64 * SIZES["intermediate_size"] * 4
    assert row_cost(model, 128).prefill > 1.9 * cost.prefill


def test_recurrent_layers_hold_a_state_instead_of_a_cache_per_token():
    model = hybrid().eval()
    short, long = row_cost(model, 64), row_cost(model, 256)
    assert short.cached > long.cached >= 2 * 2 * 8 * 4


def test_more_memory_holds_more_rows_and_one_row_is_always_tried():
    cost = RowCost(fixed=1000, prefill=100, cached=1.0, drawn=10, layers=2)
    assert cost.rows(0, 10) == 1
    assert cost.rows(1000 + 110 * 7, 10) == 7  # the prompts are what takes most
    assert cost.rows(1000 + 3010 * 7, 1000) == 7  # the cache is


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_lack_of_memory_is_told_from_other_faults(error, expected):
    assert is_out_of_memory(error) is expected
