from cai_lite.chat.scripted import ScriptedModel
from cai_lite.evaluation.reliability import measure_reliability


def test_a_steady_judge_agrees_with_itself_and_another_is_compared_with_it(subject, prompt):
    def answer(request):
        return "kind" if int(request.messages[-1].content[-1]) % 2 else "rude"

    made = subject(answer, prompts=[prompt(i) for i in range(6)])
    made.judges = [*made.judges, ScriptedModel(lambda request: "yes", name="lenient")]
    found = measure_reliability(made)["reliability"]
    assert found["repeat_kappa"].value == 1.0 and found["repeat_kappa"].n == 6
    assert found["judges_alpha"].value < 0.5
    assert "order_consistency" not in found  # one model: nothing is compared
