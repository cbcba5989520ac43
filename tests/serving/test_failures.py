"""What failed becomes tests and seeds: families stay together, and nothing leaks."""

from __future__ import annotations

import json
import random

import pytest

from cai_lite.distill.leaks import HeldOut
from cai_lite.errors import InputError
from cai_lite.inputs.prompts import all_prompts, load_prompts
from cai_lite.pipeline.taken import seeds_path
from cai_lite.serving.failures import failing_prompts, themes_of, write_failures

SUBJECTS = ["tax", "rent", "cough", "fever", "visa", "garden", "piano", "divorce", "loan", "dog"]
PLACES = ["Berlin", "Lima", "Oslo", "Quito", "Delhi", "Cairo", "Tokyo", "Perth"]


def row(text, principles=("kind",), family="", tags=()):
    prompt = [{"role": "user", "content": text}]
    return {"n": 1, "key": "k", "principles": list(principles), "prompt": prompt, "tags": list(tags), "family": family}


@pytest.fixture
def failing(tmp_path):
    path = tmp_path / "failing.jsonl"

    def write(rows):
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
        return path

    return write


def near_copies():
    """Forty questions of different words, each in three wordings that differ in a word or a greeting."""
    rng = random.Random(0)
    for _ in range(40):
        words = ["".join(rng.choices("abdegiklmnoprstu", k=rng.randint(3, 8))) for _ in range(12)]
        text = f"What {' '.join(words)}?"
        yield from (text, f"Hello! {text}", text.replace(words[5], "never"))


def test_near_copies_stay_on_one_side(failing, tmp_path):
    out = tmp_path / "out.jsonl"
    written = write_failures(failing_prompts(failing(map(row, near_copies()))), out)
    regression, seeds = all_prompts(out), all_prompts(seeds_path(out))
    assert written.regression == len(regression) > 20 and written.seeds == len(seeds) > 20
    reserved = HeldOut(prompt.messages for prompt in regression)
    assert not any(reserved.matches(prompt.messages) for prompt in seeds)
    assert {prompt.split for prompt in regression} == {"held_out"} and {prompt.split for prompt in seeds} == {"train"}
    assert not {prompt.family for prompt in regression} & {prompt.family for prompt in seeds}


def test_both_files_together_are_a_prompts_file_with_both_sides(failing, tmp_path):
    out, both = tmp_path / "out.jsonl", tmp_path / "both.jsonl"
    write_failures(failing_prompts(failing(map(row, near_copies()))), out)
    both.write_text(out.read_text() + seeds_path(out).read_text())
    prompts = load_prompts(both)
    assert len(prompts.held_out) == len(all_prompts(out)) and len(prompts.train) == len(all_prompts(seeds_path(out)))


def test_later_failures_move_none_to_the_other_side(failing, tmp_path):
    rows = [row(text) for text in near_copies()]
    sides = []
    for some in (rows[:60], rows):
        write_failures(failing_prompts(failing(some)), tmp_path / "out.jsonl")
        sides.append({prompt.text for prompt in all_prompts(tmp_path / "out.jsonl")})
    assert sides[0] <= sides[1]


def test_families_that_the_log_names_are_taken_as_they_are(failing, tmp_path):
    """Templates of which one word differs: their author says that they are different questions."""
    rows = [row(f"I have a rash from {a} since {b}. Why?", family=f"{a}/{b}") for a in SUBJECTS for b in PLACES]
    written = write_failures(failing_prompts(failing(rows)), tmp_path / "out.jsonl")
    assert (written.regression + written.seeds, written.leaks) == (80, 0)


def test_tags_tell_what_failed_and_a_prompt_stands_once(failing, tmp_path):
    path = failing([row("Why me?", ["kind"], tags=["a"]), row("Why me?", ["short"], tags=["a"]), row("How so then?")])
    first, second = failing_prompts(path)
    assert first.tags == ("a", "failed:kind", "failed:short") and second.tags == ("failed:kind",)
    written = write_failures([first], tmp_path / "out.jsonl")  # one family alone is a test
    assert (written.regression, written.seeds) == (1, 0)


def test_themes_are_the_largest_families(failing):
    rows = [row(f"Is my {subject} from the market in Lima all right to eat?", family="food") for subject in SUBJECTS]
    (theme,) = themes_of(failing_prompts(failing([*rows, row("Why?")])))
    assert (theme.family, theme.n, theme.principles) == ("food", 10, ("kind",))


def test_without_failures_nothing_is_written(failing, tmp_path):
    with pytest.raises(InputError, match="nothing failed"):
        write_failures(failing_prompts(failing([])), tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
