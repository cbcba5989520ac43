"""What supervised training learns from a run."""

from __future__ import annotations

import json

import pytest

from cai_lite.distill.citing import ANSWERED, DECLINED, citation
from cai_lite.errors import InputError
from cai_lite.inputs.constitution import Constitution, Principle
from cai_lite.inputs.pairs import save_pairs
from cai_lite.pipeline.phases import material
from cai_lite.pipeline.sources import CRITIQUE_REQUEST, SOURCES, answer_lines, check_source, rating_lines
from cai_lite.records import Candidate, Critique, Message, PreferencePair, Prompt, Rating
from cai_lite.run.ledger import Run
from cai_lite.training.config import TrainingConfig

CONSTITUTION = Constitution(
    name="c",
    principles=(
        Principle(id="doctor", text="Name a doctor.", critique="Where is no doctor?", revise="Name one.", priority=1),
        Principle(id="short", text="Be short.", priority=2),
    ),
)


class Story:
    """A run in memory in which drafts are critiqued and revised as the stages do it."""

    def __init__(self):
        self.run = Run()

    def candidate(self, key, text, *, asked="Cough?", round_=0, parents=()):
        prompt = Prompt(key=asked, messages=(Message("user", asked),), family=f"family of {asked}")
        found = Candidate(key=key, prompt=prompt, text=text, author="m", round=round_, parents=parents)
        self.run.keep_rows("candidate", [(key, parents, {"text": text, "author": "m", "round": round_})])
        return found

    def critique(self, candidate, principle, violated, text="", author=""):
        key = f"{candidate.key} {principle} {author}"
        row = Critique(key=key, candidate=candidate, principle=principle, text=text, violated=violated)
        payload = {"principle": principle, "violated": violated, "text": text}
        self.run.keep_rows("critique", [(key, row.parents, payload)])
        return key

    def lines(self, *final, held_out=(), near=None):
        lines, counts = answer_lines(final, self.run, CONSTITUTION, held_out=held_out, near=near)
        return [json.loads(line) for line in lines], {name: n for name, n in counts.items() if n}


@pytest.fixture
def story():
    return Story()


@pytest.fixture
def twice(story):
    """A draft that breaks both principles and is mended in two rounds."""
    draft = story.candidate("d", "Nothing.", parents=("Cough?",))
    found = [story.critique(draft, "short", "yes", "too long"), story.critique(draft, "doctor", "yes", "no doctor")]
    first = story.candidate("r1", "Doctor, at length.", round_=1, parents=("d", "d", *found))
    found = [story.critique(first, "short", "yes", "still long"), story.critique(first, "doctor", "no", "fine")]
    last = story.candidate("r2", "Doctor.", round_=2, parents=("d", "r1", *found))
    story.critique(last, "short", "no")
    story.critique(last, "doctor", "no")
    return last


def test_a_revision_is_written_with_every_step_from_its_draft(story, twice):
    (row,), counts = story.lines(twice)
    assert row["prompt"] == [{"role": "user", "content": "Cough?"}]
    assert row["completion"] == [{"role": "assistant", "content": "Doctor."}]
    assert [(turn["role"], turn["content"]) for turn in row["steps"]] == [
        ("assistant", "Nothing."),
        ("user", "Where is no doctor?"),  # the principle of highest priority first, in its own words
        ("assistant", "no doctor"),
        ("user", "Name one."),
        ("assistant", "Doctor, at length."),
        ("user", CRITIQUE_REQUEST.format(principle="Be short.")),
        ("assistant", "still long"),
        ("user", "Rewrite your answer so that it keeps this principle: Be short."),
        ("assistant", "Doctor."),
    ]
    assert (row["principle"], row["family"], row["key"]) == ("short", "family of Cough?", "r2")
    assert counts == {"kept": 1}


def test_revisions_are_learnt_as_answers_and_with_critiques_each_turn_once(story, twice, tmp_path):
    lines, _ = answer_lines([twice], story.run, CONSTITUTION, held_out=[], near=None)
    (tmp_path / "revisions.jsonl").write_text("".join(lines))
    (alone,) = SOURCES["revisions"](tmp_path, include_critique=False, critic_examples=list)
    assert (alone.prompt, alone.completion) == ((Message("user", "Cough?"),), (Message("assistant", "Doctor."),))
    assert (alone.family, alone.key) == ("family of Cough?", "r2")
    first, *steps = SOURCES["revisions"](tmp_path, include_critique=True, critic_examples=list)
    assert first == alone
    assert [row.completion[0].content for row in steps] == ["no doctor", "Doctor, at length.", "still long", "Doctor."]
    assert all(row.prompt[-1].role == "user" and len(row.completion) == 1 for row in steps)
    assert [len(row.prompt) for row in steps] == [3, 5, 7, 9]  # each is read behind all that came before it


def test_what_still_breaks_a_principle_is_left_out(story):
    draft = story.candidate("d", "Nothing.", parents=("Cough?",))
    found = story.critique(draft, "doctor", "yes", "no doctor")
    revised = story.candidate("r", "Something.", round_=1, parents=("d", "d", found))
    for author, said in (("a", "yes"), ("b", "yes"), ("c", "no")):
        story.critique(revised, "doctor", said, author=author)
    assert story.lines(revised) == ([], {"still break a principle": 1})
    story.critique(revised, "doctor", "no", author="d")
    assert len(story.lines(revised)[0]) == 1  # as many say so as do not


def test_no_held_out_prompt_is_learnt(story, twice):
    assert story.lines(twice, held_out=[(Message("user", "Cough?"),)]) == ([], {"prompt is held out": 1})


def test_the_chosen_sides_are_those_of_the_runs_pairs(tmp_path):
    pair = PreferencePair(
        prompt=(Message("user", "q"),), chosen=(Message("assistant", "a"),), rejected=(Message("assistant", "b"),)
    )
    save_pairs(tmp_path / "pairs.jsonl", [pair, pair])
    (found,) = SOURCES["chosen"](tmp_path, include_critique=False, critic_examples=list)
    assert found.completion == pair.chosen


def test_chosen_sides_cite_the_principle_that_clearly_decided(tmp_path):
    """Of an answer in two pairs the first counts; where no verdict is clear, the answer stays as it is."""

    def pair(prompt, chosen, **p_chosen):
        verdicts = [{"principle": id_, "p_chosen": p} for id_, p in p_chosen.items()]
        sides = {"chosen": (Message("assistant", chosen),), "rejected": (Message("assistant", "b"),)}
        return PreferencePair(
            prompt=(Message("user", prompt),), key=prompt, evidence={"verdicts": verdicts}, principle="short", **sides
        )

    refusal = "I'm sorry, but I can't help with that."
    given = [
        pair("q1", "A doctor.", doctor=0.9, short=0.8),
        pair("q2", refusal, short=1.0),
        pair("q3", "Eh.", short=0.6),
    ]
    save_pairs(tmp_path / "pairs.jsonl", [*given, pair("q1", "A doctor.", short=0.9)])
    settings = {"include_critique": False, "critic_examples": list}
    with pytest.raises(InputError, match=r"has no constitution\.yaml"):
        SOURCES["citing"](tmp_path, **settings)
    lines = [f"  - {{id: {p.id}, text: {p.text}, priority: {p.priority}}}" for p in CONSTITUTION.principles]
    (tmp_path / "constitution.yaml").write_text("\n".join(["name: c", "principles:", *lines]))
    found = {row.key: row.completion[0].content for row in SOURCES["citing"](tmp_path, **settings)}
    first, second, third = found["q1"], found["q2"], found["q3"]
    read = [citation(text, CONSTITUTION.principles) for text in (first, second, third)]
    assert read == [("doctor", "A doctor."), ("short", refusal), None] and third == "Eh."
    assert any(lead in first for lead in ANSWERED) and any(lead in second for lead in DECLINED)


@pytest.mark.parametrize(
    ("text", "says"), [(None, r"has no revisions\.jsonl"), ("{}\n", r"jsonl:1: is not as the run")]
)
def test_a_file_that_is_missing_or_changed_is_told(tmp_path, text, says):
    if text is not None:
        (tmp_path / "revisions.jsonl").write_text(text)
    with pytest.raises(InputError, match=says):
        SOURCES["revisions"](tmp_path, include_critique=False, critic_examples=list)


def test_ratings_are_written_and_read_as_they_are(tmp_path):
    given = [
        Rating(
            prompt=(Message("user", "Cough?"),),
            completions=((Message("assistant", "See a doctor."),), (Message("assistant", "Ünwise."),)),
            p=0.9,
            principle=principle,
            text=text,
            key=f"k{text}",
            family="f",
        )
        for principle, text in (("doctor", "Name a doctor."), ("", ""))
    ]
    (tmp_path / "ratings.jsonl").write_text("".join(rating_lines(given)))
    settings = {"include_critique": False, "critic_examples": list}
    assert SOURCES["verdicts"](tmp_path, **settings) == given
    by = {name: TrainingConfig(method="preference_model", on="verdicts", input=name) for name in ("joint", "principle")}
    found = {name: material(config, [], tmp_path, print, student="s") for name, config in by.items()}
    assert found == {"joint": given[1:], "principle": given[:1]}
    (tmp_path / "ratings.jsonl").write_text('{"prompt": []}\n')
    with pytest.raises(InputError, match=r"ratings\.jsonl:1: is not as the run wrote it"):
        SOURCES["verdicts"](tmp_path, **settings)
    (tmp_path / "ratings.jsonl").unlink()
    with pytest.raises(InputError, match=r"has no ratings\.jsonl, .*method: preference_model, on: verdicts"):
        SOURCES["verdicts"](tmp_path, **settings)


def test_demonstrations_and_ratings_are_not_mixed_up(tmp_path):
    with pytest.raises(ValueError, match="'preference_model' takes 'on: verdicts'"):
        check_source(TrainingConfig(method="preference_model", on="revisions"))
    with pytest.raises(ValueError, match="'sft' takes another 'on' than 'verdicts'"):
        check_source(TrainingConfig(method="sft", on="verdicts"))
