"""Every attempt at a revision, and several critics, with scripted models."""

import pytest

from cai_lite.chat.asking import Stage
from cai_lite.chat.scripted import ScriptedModel
from cai_lite.distill.critiques import Critic, critique, majority
from cai_lite.distill.revisions import best_of, revisions_of
from cai_lite.records import Reply, Sampling, Verdict
from cai_lite.run.ledger import Run

GREEDY = Sampling(temperature=0.0)


def critic_of(name, breaks, why="no, rude"):
    """A critic that says `why` where (principle, reply) is in `breaks`, and "yes" otherwise."""

    def script(request):
        text = request.messages[-1].content
        reply = text.split("Reply: ")[1].split("\n")[0]
        principle = next(rule for rule in ("Be kind.", "Be short.") if rule in text)
        return why if (principle, reply) in breaks else "yes, fine"

    return ScriptedModel(script, wording="short", name=name)


@pytest.fixture
def walk(constitution):
    """Critiques a draft by each critic and revises it; returns the revisions, the run and the order of rests."""

    def walked(draft, teacher, critics, *, run=None, rounds=3):
        run, rested = run or Run(), []
        stages = [Critic(critic, Stage(run=run, name=critic.name)) for critic in critics]
        critiques = [critique(critic, [draft], constitution, run=run, stage=critic.name) for critic in critics]
        made = revisions_of(
            teacher,
            [draft],
            critiques,
            constitution,
            rounds=rounds,
            until="satisfied",
            samplings=(GREEDY, GREEDY),
            stage=Stage(run=run, name="revise"),
            critics=stages,
            rest=lambda model: rested.append(model.name),
        )
        return made, run, rested

    return walked


def test_an_attempt_says_what_it_mends_and_what_is_left(walk, candidate):
    critic = critic_of("critic", {("Be kind.", "rude"), ("Be short.", "rude"), ("Be short.", "kind, long")})
    replies = iter(["kind, long", "kind"])
    made, run, _ = walk(candidate("rude"), ScriptedModel(lambda r: next(replies), wording="short"), [critic])
    assert [(a.principle, a.round, a.outcome, a.mended, a.left) for a in made.attempts] == [
        ("kind", 1, "revised", True, ("short",)),
        ("short", 2, "revised", True, ()),
    ]
    assert [row["principle"] for _, _, row in run.rows("candidate") if row["round"]] == ["kind", "short"]
    assert [row["author"] for _, _, row in run.rows("critique")] == ["critic"] * 6


@pytest.mark.parametrize(
    ("reply", "outcome", "mended"),
    [
        ("rude", "unchanged", False),
        ("still rude", "revised", False),
        ("kind, long", "broke what held", True),
        (Reply(text="ki", outcome="cut"), "cut", None),
        ("?", "revised", None),
    ],
)
def test_an_attempt_that_fails_is_kept_too(walk, candidate, reply, outcome, mended):
    breaks = {("Be kind.", "rude"), ("Be kind.", "still rude"), ("Be short.", "kind, long")}
    critic = critic_of("critic", breaks)
    read = critic._script
    critic._script = lambda request: "Hard to say" if "Reply: ?" in request.messages[-1].content else read(request)
    made, _, _ = walk(candidate("rude"), ScriptedModel(lambda r: reply, wording="short"), [critic], rounds=1)
    (attempt,) = made.attempts
    assert (attempt.outcome, attempt.mended) == (outcome, mended)
    assert attempt.broken == (("short",) if outcome == "broke what held" else ())


@pytest.mark.parametrize(
    ("said", "most"),
    [
        (["yes"], "yes"),
        (["no"], "no"),
        (["unreadable"], "unreadable"),
        (["yes", "no", "no"], "no"),
        (["yes", "no"], "yes"),
        (["no", "unreadable", "unreadable"], "no"),
    ],
)
def test_most_critics_decide_and_a_tie_is_a_violation(said, most):
    assert majority(said) == most


def test_each_critic_that_finds_a_violation_has_its_own_rewrite_made(walk, candidate, constitution):
    critics = [
        critic_of("a", {("Be kind.", "rude")}, why="no, it shouts"),
        critic_of("b", {("Be kind.", "rude")}, why="no, it sneers"),
        critic_of("c", set()),
    ]
    asked = []

    def script(request):
        asked.append(request.messages[-1].content)
        return f"kind {len(asked)}"

    made, _, rested = walk(candidate("rude"), ScriptedModel(script, name="teacher", wording="short"), critics)
    assert len(asked) == len(made.attempts) == len(made.accepted) == 2
    assert rested == ["teacher", "a", "b", "c"]
    asked.clear()
    made, _, _ = walk(candidate("rude"), ScriptedModel(script, name="teacher"), critics)
    assert [next(w for w in ("shouts", "sneers") if w in text) for text in asked] == ["shouts", "sneers"]
    assert [row.text for row in made.accepted] == ["kind 1", "kind 2"]


def test_a_minority_of_the_critics_has_nothing_rewritten(walk, candidate):
    critics = [critic_of("a", {("Be kind.", "rude")}), critic_of("b", set()), critic_of("c", set())]
    made, run, _ = walk(candidate("rude"), ScriptedModel(lambda r: "kind"), critics)
    assert made.attempts == [] and run.counts()["revise"]["drafts with a violation"] == 0


def test_the_same_walk_on_the_same_run_asks_nothing_twice(walk, candidate, tmp_path):
    critics = [critic_of("a", {("Be kind.", "rude")}), critic_of("b", {("Be kind.", "rude")})]
    teacher = ScriptedModel(lambda r: "kind", name="teacher")
    with Run(tmp_path) as run:
        first, _, _ = walk(candidate("rude"), teacher, critics, run=run)
        for model in (teacher, *critics):
            model.asked.clear()
        again, _, _ = walk(candidate("rude"), teacher, critics, run=run)
    assert again == first and not any(model.asked for model in (teacher, *critics))


def test_the_best_revision_of_each_draft_is_the_one_that_verdicts_prefer(candidate):
    draft, other = candidate("rude"), candidate("mean")
    first, second = (candidate(text, round=1, parents=(draft.key,)) for text in ("kind 1", "kind 2"))
    alone = candidate("kind 3", round=1, parents=(other.key,))
    verdict = Verdict(
        key="v",
        first=first,
        second=second,
        principle="kind",
        choice="second",
        p_first=0.2,
        order="both",
        judge="j",
        rule="among_revisions",
    )
    assert best_of([first, second, alone], [verdict]) == [second, alone]
    assert best_of([first, second], []) == [first]
