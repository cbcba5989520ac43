from cai_lite.chat.scripted import ScriptedModel
from cai_lite.stats import Comparison, Figure


def test_one_model_has_one_side_and_two_models_have_two(subject):
    assert [[c.text for c in side] for side in subject("kind").sides] == [["kind"] * 4]
    assert [side[0].text for side in subject("new", "old").sides] == ["old", "new"]


def test_a_mean_is_a_figure_of_one_model_and_a_comparison_of_two(subject):
    alone, both = (made.mean(lambda answer: len(answer.text)) for made in (subject("abc"), subject("abc", "a")))
    assert isinstance(alone, Figure) and alone.value == 3.0
    assert isinstance(both, Comparison) and both.change.value == 2.0


def test_a_stage_is_asked_once(subject):
    asked = []
    made = subject(lambda request: asked.append(request) or "kind")
    assert made.sides == made.sides and len(asked) == 4


def test_a_cell_is_scored_once_whoever_asks(subject):
    judged = []
    judge = ScriptedModel(lambda request: judged.append(request) or "yes", name="judge")
    made = subject("kind", judges=[judge])
    first = made.score_answers()
    assert made.score_answers() == first and len(judged) == 4  # one principle applies to each of four prompts
    assert all(made.keeps()(s.candidate, made.constitution.principles[0]) == 1.0 for s in first)


def test_answers_are_compared_before_against_after_and_equal_ones_are_not(subject, prompt):
    made = subject(lambda request: "same" if "question 0" in request.messages[-1].content else "kind", "same")
    verdicts = made.verdicts("pointwise")
    assert {(v.first.text, v.second.text, v.rule) for v in verdicts} == {("same", "kind", "after_against_before")}
    assert {v.first.prompt.key for v in verdicts} == {"p1", "p2", "p3"}
    assert subject("kind").verdicts("pointwise") == []


def test_two_models_of_one_name_stay_apart(subject):
    made = subject("kind", "rude")
    made.before.name = made.after.name = "twin"
    assert all(v.p_first < 0.5 for v in made.verdicts("pointwise"))
