from __future__ import annotations

import json
from pathlib import Path

import pytest

from cai_lite.errors import PromptError
from cai_lite.inputs.constitution import load_constitution
from cai_lite.inputs.prompts import Prompts, as_prompts, load_prompts
from cai_lite.records import Message, Prompt


def write(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def sentence(seed: int, length: int = 12) -> str:
    """Words that no other seed shares, so that sentences are never near each other."""
    return " ".join(f"w{seed}x{i}" for i in range(length))


def rows(prompts: Prompts) -> dict[str, Prompt]:
    return {prompt.text: prompt for prompt in (*prompts.train, *prompts.held_out)}


def test_both_forms_of_a_line_are_read(tmp_path: Path) -> None:
    conversation = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi there "}]
    path = write(
        tmp_path, {"prompt": "  What now? "}, {"messages": conversation, "tags": ["a", "b"], "family": "f"}, ""
    )
    first, second = load_prompts(path, held_out=0).train
    assert first.messages == (Message("user", "What now?"),)
    assert second.messages == (Message("system", "Be brief."), Message("user", "Hi there"))
    assert (second.tags, second.family) == (("a", "b"), "f")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "x"', r"prompts\.jsonl:2: not valid JSON: .* at column \d+"),
        ("[1]", r":2: a line should be an object such as"),
        ('{"tags": []}', r":2: a line should have either 'prompt' or 'messages'"),
        ('{"prompt": " "}', r":2: the prompt is empty"),
        ('{"prompt": 3}', r":2: the prompt should be a string, or a list"),
        ('{"messages": []}', r":2: the prompt should be a string, or a list"),
        ('{"messages": [{"role": "user"}]}', r":2: message 1 should be"),
        (
            '{"messages": [{"role": "human", "content": "x"}]}',
            r":2: message 1: 'role' should be system, user or assist",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}',
            r":2: the last message should be the user's, as the model writes the reply; it is the assistant's",
        ),
        (
            '{"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]}',
            r":2: message 2: only the first message may be a system message",
        ),
        ('{"prompt": "x", "tag": ["a"]}', r":2: unknown key 'tag'; did you mean 'tags'\?"),
        ('{"prompt": "x", "tags": "a"}', r":2: 'tags' should be a list of strings"),
        ('{"prompt": "x", "split": "test"}', r":2: 'split' should be 'train' or 'held_out', got 'test'"),
        ('{"prompt": "x", "family": 3}', r":2: 'family' should be a string"),
    ],
)
def test_a_wrong_line_is_told_by_its_number(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        load_prompts(write(tmp_path, {"prompt": "fine"}, line))


def test_an_empty_file_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=r"prompts\.jsonl: contains no prompts"):
        load_prompts(write(tmp_path, "", "  "))
    with pytest.raises(PromptError, match="no such file"):
        load_prompts(tmp_path / "none.jsonl")
    with pytest.raises(PromptError, match="contains no prompts"):
        load_prompts([])


def test_other_keys_are_let_be_and_counted(tmp_path: Path) -> None:
    assert load_prompts(write(tmp_path, {"prompt": "x", "id": 7}), held_out=0).report["rows_with_other_keys"] == 1


def test_exact_duplicates_are_dropped_and_counted(tmp_path: Path) -> None:
    prompts = load_prompts(write(tmp_path, {"prompt": "one"}, {"prompt": "one "}, {"prompt": "two"}), held_out=0)
    assert [prompt.text for prompt in prompts.train] == ["one", "two"]
    assert (prompts.report["rows"], prompts.report["duplicates"]) == (3, 1)


def test_the_same_prompt_on_both_sides_is_an_error_that_names_both_lines(tmp_path: Path) -> None:
    path = write(tmp_path, {"prompt": "x", "split": "train"}, {"prompt": "x", "split": "held_out"})
    with pytest.raises(PromptError, match=r"prompts\.jsonl:2: the same prompt appears in .*:1 with the split 'train'"):
        load_prompts(path)


def test_a_text_with_line_separators_of_unicode_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes('{"prompt": "one\u2028two\u0085three"}\r\n'.encode())
    assert load_prompts(path, held_out=0).train[0].text == "one\u2028two\u0085three"


def test_a_family_is_never_on_both_sides(tmp_path: Path) -> None:
    path = write(tmp_path, *({"prompt": sentence(i), "family": f"f{i % 25}"} for i in range(200)))
    prompts = load_prompts(path, held_out=0.3)
    assert prompts.held_out
    assert not {p.family for p in prompts.train} & {p.family for p in prompts.held_out}
    assert all(p.split == "held_out" for p in prompts.held_out)


def test_new_prompts_move_nothing(tmp_path: Path) -> None:
    old = [{"prompt": sentence(i // 2) + f" variant {i}"} for i in range(200)]
    before = rows(load_prompts(write(tmp_path, *old)))
    after = rows(load_prompts(write(tmp_path, *old, *({"prompt": sentence(1000 + i)} for i in range(200)))))
    assert {text: after[text] for text in before} == before


def test_about_the_wished_share_is_held_out(tmp_path: Path) -> None:
    """800 families at 0.2: standard deviation sqrt(800 * 0.2 * 0.8) = 11.3, so 160 within 4 of them."""
    prompts = load_prompts(write(tmp_path, *({"prompt": sentence(i)} for i in range(800))), held_out=0.2)
    assert abs(len(prompts.held_out) - 160) < 46


def test_near_duplicates_without_a_family_get_one(tmp_path: Path) -> None:
    template = "My {} has had a fever since yesterday evening, what should I do about it now?"
    children = [{"prompt": template.format(who)} for who in ("daughter", "son", "nephew", "neighbour")]
    prompts = rows(
        load_prompts(write(tmp_path, *children, {"prompt": sentence(1)}, {"prompt": sentence(2)}), held_out=0)
    )
    assert len({prompts[row["prompt"]].family for row in children}) == 1
    assert len({prompt.family for prompt in prompts.values()}) == 3


def test_a_near_duplicate_joins_a_given_family_wherever_it_stands(tmp_path: Path) -> None:
    text = "Please write a story about a lighthouse keeper and the sea"
    path = write(tmp_path, {"prompt": text + " today"}, {"prompt": text, "family": "lighthouse"})
    assert {prompt.family for prompt in load_prompts(path, held_out=0).train} == {"lighthouse"}


def test_the_split_of_a_row_wins_and_its_family_follows(tmp_path: Path) -> None:
    given = [{"prompt": sentence(i), "family": f"f{i // 2}", "split": "held_out"} for i in range(0, 40, 2)]
    follow = [{"prompt": sentence(i), "family": f"f{i // 2}"} for i in range(1, 40, 2)]
    prompts = load_prompts(write(tmp_path, *given, *follow, {"prompt": "the only one", "split": "train"}), held_out=0)
    assert [prompt.text for prompt in prompts.train] == ["the only one"]
    assert len(prompts.held_out) == 40


def test_a_training_prompt_that_copies_a_held_out_one_is_dropped_and_counted(tmp_path: Path) -> None:
    long = sentence(1, 30)
    path = write(
        tmp_path,
        {"prompt": long, "family": "a", "split": "held_out"},
        {"prompt": long.upper() + "!", "family": "b", "split": "train"},
        {"prompt": long + " indeed", "family": "c"},
        {"prompt": long + " truly", "family": "d", "split": "train"},
        {"prompt": sentence(2), "family": "e"},
    )
    prompts = load_prompts(path, held_out=0)
    assert prompts.report["contaminated"] == 2
    # The splits of "d" and of the held-out row were both given, so a word of difference is their author's choice.
    assert [prompt.family for prompt in prompts.train] == ["d", "e"]


def test_limits_only_add_when_they_grow(tmp_path: Path) -> None:
    path = write(tmp_path, *({"prompt": sentence(i)} for i in range(100)))
    few, more = load_prompts(path, limit=10, eval_limit=3), load_prompts(path, limit=20, eval_limit=6)
    assert (len(few.train), len(few.held_out), len(more.train), len(more.held_out)) == (10, 3, 20, 6)
    assert {p.key for p in few.train} <= {p.key for p in more.train}
    assert {p.key for p in few.held_out} <= {p.key for p in more.held_out}
    assert few.report["beyond_limit"] == 87


def test_rows_are_taken_as_well_as_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, *({"prompt": sentence(i)} for i in range(40)))
    read = load_prompts(path)
    given = [Prompt(key="", messages=(Message("user", sentence(i)),), family="") for i in range(40)]
    assert load_prompts(given).train == read.train
    split = load_prompts([*read.train, *read.held_out], held_out=0)
    assert {p.key for p in split.held_out} == {p.key for p in read.held_out}


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="no prompts to train on"):
        load_prompts(write(tmp_path, {"prompt": "x", "split": "held_out"}))
    with pytest.raises(PromptError, match="'held_out' should be at least 0 and below 1"):
        load_prompts(write(tmp_path, {"prompt": "x"}), held_out=1.0)


def test_real_conversations_of_many_turns_are_read(shared: Path, tmp_path: Path) -> None:
    lines = (shared / "data" / "hh_harmless_300.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = load_prompts(write(tmp_path, *({"messages": json.loads(line)["prompt"]} for line in lines)))
    assert prompts.report["rows"] == 300
    assert prompts.report["families"] > 250
    assert len(prompts.train) + len(prompts.held_out) + prompts.report["contaminated"] == 300


@pytest.mark.parametrize("name", ["medical", "customer-service", "creative"])
@pytest.mark.parametrize("kind", ["", "-embedded"])
def test_the_packaged_prompts_are_sound(repository: Path, name: str, kind: str) -> None:
    prompts = load_prompts(repository / "recipes" / "prompts" / f"{name}{kind}.jsonl")
    assert (
        prompts.report["duplicates"] == prompts.report["contaminated"] == prompts.report["families_on_both_sides"] == 0
    )
    assert len(prompts.train) >= 30
    assert len(prompts.held_out) >= (100 if kind else 10)


@pytest.mark.parametrize("name", ["hipaa-privacy", "financial-advice", "legal-information"])
def test_the_prompts_of_the_policy_packs_meet_every_principle_on_both_sides(repository: Path, name: str) -> None:
    prompts = load_prompts(repository / "recipes" / "prompts" / f"{name}.jsonl")
    assert prompts.report["rows"] >= 150
    assert (
        prompts.report["duplicates"] == prompts.report["contaminated"] == prompts.report["families_on_both_sides"] == 0
    )
    tags = {tag for principle in load_constitution(name).principles for tag in principle.applies_to}
    for side in (prompts.train, prompts.held_out):
        assert tags | {"benign-twin", "unsafe", "adversarial"} <= {tag for prompt in side for tag in prompt.tags}
    every = [*prompts.train, *prompts.held_out]
    assert sum(len(prompt.messages) > 2 for prompt in every) >= 0.2 * len(every)
    assert any(prompt.messages[0].role == "system" for prompt in every)


MESSAGES = [{"role": "user", "content": "x"}]


def test_a_list_of_texts_dictionaries_or_prompts_is_taken_as_it_is():
    rows = [
        "one",
        {"prompt": "two", "tags": ["t"], "split": "held_out"},
        {"messages": MESSAGES},
    ]
    found = as_prompts(rows, "train")
    assert [prompt.text for prompt in found] == ["one", "two", "x"]
    assert found[1].tags == ("t",) and found[1].split == "held_out"
    assert as_prompts(found, "held_out") == found  # prompts stay as they are
    assert [prompt.text for prompt in load_prompts(["one", "two"], held_out=0.0).train] == ["one", "two"]


def test_a_path_and_prompts_have_two_sides(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"question {i} {'ab' * i}"}) + "\n" for i in range(40)))
    split = load_prompts(path)
    for given in (path, str(path), split):
        assert as_prompts(given, "train") == split.train
        assert as_prompts(given, "held_out") == split.held_out
    path.write_text('{"prompt": "a", "split": "held_out"}\n')
    assert [prompt.text for prompt in as_prompts(path, "held_out")] == ["a"]
    with pytest.raises(PromptError, match="no training prompts; every line has the split 'held_out'"):
        as_prompts(path, "train")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "prompts should be a path, .*; got 3"),
        ({"prompt": "a"}, r"got \{'prompt': 'a'\}"),
        (["a", 5], "prompt 2 is 5"),
        ([{"promt": "a"}], "prompt 1: unknown key 'promt'; did you mean 'prompt'"),
        ([{"prompt": "a", "family": ["x" * 9000]}], r"prompt 1: 'family' should be a string, got a list of 1"),
    ],
)
def test_what_is_no_prompt_is_refused_in_words(given, says):
    with pytest.raises(PromptError, match=says):
        as_prompts(given, "train")
