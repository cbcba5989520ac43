"""Critics in a run of the embedded models: scripted ones that know the toy world, or do not."""

import dataclasses
import re

import pytest

from cai_lite.chat.scripted import ScriptedModel
from cai_lite.embedded import oracle
from cai_lite.errors import InputError, Stopped
from cai_lite.inputs.constitution import load_constitution
from cai_lite.pipeline import walk
from cai_lite.pipeline.alone import train_run
from cai_lite.pipeline.critics import training_examples
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.roles import WeightedModel, open_roles
from cai_lite.reporting import report
from cai_lite.run.ledger import Run

SMALL = [
    "prompts.limit=4",
    "prompts.eval_limit=4",
    "draft.n=2",
    "revise.rounds=1",
    "judge.principles=1",
    "pair.min_margin=0.01",
    "pair.rules=[revision_over_draft]",
]
CREATIVE = load_constitution("creative-embedded")


SHORT = re.compile(r"User: (.*)\nReply: (.*)\nIs this rule kept\? (.*)", re.DOTALL)
FULL = re.compile(r"conversation>>\n(.*)\n<<.*reply>>\n(.*)\n<<.*\nPrinciple: (.*)", re.DOTALL)


def knowing(name, why=""):
    """A critic that tells by the oracle of the toy world, and says `why`; asked to rewrite, it quotes the critique."""

    def script(request):
        text = request.messages[-1].content
        if critiqued := re.search(r"Critique of the reply: (.*)", text):
            return f"A story about nothing. It is told because {critiqued[1]}"
        asked, reply, rule = (SHORT.fullmatch(text) or FULL.search(text)).groups()
        principle = next(p.id for p in CREATIVE.principles if p.text == rule)
        kept = oracle.keeps("creative", principle, asked, reply)
        return f"{'no' if kept is False else 'yes'}{why}"

    return ScriptedModel(script, name=name, wording="full" if why else "short")


@pytest.fixture
def walked(tmp_path, monkeypatch):
    """Makes the pairs of a small run with these critics; returns the run directory."""

    def run(*critics, settings=(), teacher=None):
        recipe = load_recipe("creative", [*SMALL, *settings], profile="embedded")
        members = tuple(WeightedModel(critic, 1.0, f"critique.by.{i}") for i, critic in enumerate(critics))
        teachers = {"teachers": (WeightedModel(teacher, 1.0, "teacher"),)} if teacher else {}
        roles = dataclasses.replace(open_roles(recipe), critics=members, **teachers)
        monkeypatch.setattr(walk, "open_roles", lambda recipe, on: roles)
        walk.run_recipe(recipe, tmp_path / "run", until="pair", quiet=True)
        return tmp_path / "run"

    return run


def test_a_critic_critiques_drafts_and_revisions_and_the_teacher_revises(walked):
    critic = knowing("critic")
    out = walked(critic)
    with Run(out) as run:
        authors = {row["author"] for _, (of, *_), row in run.rows("critique") if run.row(of)[2]["round"]}
        (found,), quality = run.recall("critics"), run.recall("revisions")
        stages = {call["stage"]: call["model"] for call in run.calls()}
        assert list(run.damage()) == []
    assert authors == {"critic"}
    assert found["refused"] == "" and found["agreement"]["value"] >= 0.8 and found["planted"]["subtle"]["value"] == 1.0
    assert stages["critique (critic)"] == stages["critique of revisions (critic)"] == "critic"
    assert stages["revise (embedded:teacher)"] == "embedded:teacher"
    assert "rewrites mend their principle" in quality["summary"] and quality["figures"]["mended_by_oracle"]["n"] > 0
    log = (out / "log.txt").read_text()
    assert "critic critic: agreement with the teacher" in log and quality["summary"] in log
    page = report(out).read_text()
    assert "subtle planted violations found" in page and "rewrites that mend their principle" in page
    critic.asked.clear()
    walked(critic)
    assert critic.asked == []


def test_a_critic_below_the_least_agreement_is_refused_before_it_is_used(walked, tmp_path):
    stubborn = ScriptedModel(lambda r: "yes", name="stubborn", wording="short")
    with pytest.raises(Stopped, match=r"the critic stubborn is not used: .* critique\.min_agreement is 0\.8"):
        walked(stubborn)
    with Run(tmp_path / "run") as run:
        assert {call["stage"] for call in run.calls()} == {
            "held-out draft",
            "held-out critic's trial (embedded:teacher)",
            "held-out critic's trial (stubborn)",
        }
        assert run.recall("critics")[0]["refused"]


def test_of_the_revisions_of_several_critics_the_judge_keeps_one_a_draft(walked):
    critics = knowing("one", ", it bores."), knowing("other", ", it rambles.")
    out = walked(*critics, teacher=knowing("teacher", ", so it is."))
    with Run(out) as run:
        rewritten = [(parents[0], row["text"]) for _, parents, row in run.rows("candidate") if row["round"]]
        judged = {rule: [] for rule in ("among_revisions", "revision_over_draft")}
        for _, (first, second), row in run.rows("verdict"):
            judged[row["rule"]].append((first, second))
    drafts = {draft for draft, _ in rewritten}
    assert drafts and len(rewritten) == 2 * len(drafts)  # each critic has a rewrite made by its own critique
    assert {text.rpartition(" it ")[2] for _, text in rewritten} == {"bores.", "rambles."}
    assert judged["among_revisions"]
    compared = [draft for _, draft in judged["revision_over_draft"]]
    assert len(compared) == len(set(compared)) <= len(drafts)


def test_the_examples_of_a_run_hold_out_what_the_recipe_holds_out(walked, tmp_path):
    with Run(walked()) as run:
        found = training_examples(run, student="embedded:student")
    assert {one.split for one in found} == {"train", "held_out"} or {one.split for one in found} == {"train"}
    assert all(one.prompt[-1].content.startswith("User: ") for one in found)
    assert all("no" if one.violated == "yes" else "yes" in one.completion[0].content for one in found)
    with Run(tmp_path / "empty") as run, pytest.raises(InputError, match=r"no recipe\.yaml"):
        training_examples(run, student="embedded:student")


def test_a_critic_is_trained_on_the_critiques_of_a_run_and_critiques_in_its_place(walked, tmp_path):
    out = walked()
    with Run(out) as run:
        examples = training_examples(run, student="embedded:student")
    kept_apart = {one.family for one in examples if one.split == "held_out"}
    learnt = [one for one in examples if one.split == "train"]
    held_out = {prompt.family for prompt in walk.prompts_of(load_recipe(out / "recipe.yaml")).held_out}
    settings = ["train.method=sft", "train.on=critiques", "train.max_steps=1", "train.lora.rank=2"]
    trained = train_run(out, settings, tmp_path / "critic", quiet=True)
    assert trained["pairs"]["unit"] == "demonstrations" and trained["pairs"]["kept"] == len(learnt) > 0
    assert not (kept_apart | held_out) & {one.family for one in learnt}
    by = f"critique.by=embedded:student#{trained['adapter']}"
    (critic,) = open_roles(load_recipe("creative", [by], profile="embedded")).critics
    assert critic.model.wording == "short" and str(critic.model.adapter) == trained["adapter"]


@pytest.mark.parametrize(
    ("by", "names", "sections"),
    [
        ("student", ["embedded:student"], ["student"]),
        ("embedded:teacher", ["embedded:teacher"], ["critique.by"]),
        ("{model: 'embedded:teacher'}", ["embedded:teacher"], ["critique.by"]),
        ("[student, embedded:teacher]", ["embedded:student", "embedded:teacher"], ["student", "critique.by.1"]),
    ],
)
def test_critics_are_models_the_student_or_several(by, names, sections):
    roles = open_roles(load_recipe("creative", [f"critique.by={by}"], profile="embedded"))
    assert [critic.model.name for critic in roles.critics] == names
    assert [critic.section for critic in roles.critics] == sections
    assert all(critic.model.wording == "short" for critic in roles.critics)
    assert f"critic {names[0]}" in roles.digests()
    for critic in roles.critics:
        assert roles.watch(critic.model, print, set(), stops=True).section == critic.section


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("critique.by=[]", "'by' should be a model"),
        ("critique.by=[student, student]", "'by' names 'student' twice"),
        ("critique.min_agreement=1.5", "'min_agreement' should be from 0 to 1"),
        ("critique.by={mode: x}", "unknown key 'mode'"),
    ],
)
def test_a_critic_that_cannot_be_is_an_error(setting, message):
    with pytest.raises(InputError, match=message):
        load_recipe("creative", [setting], profile="embedded")


def test_without_critics_the_models_of_a_run_are_those_of_before():
    roles = open_roles(load_recipe("creative", profile="embedded"))
    assert roles.critics == () and not any(name.startswith("critic ") for name in roles.digests())
