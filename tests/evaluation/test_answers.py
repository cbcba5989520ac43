from cai_lite.chat.scripted import ScriptedModel
from cai_lite.evaluation.answers import answer
from cai_lite.records import Reply, Sampling
from cai_lite.run.ledger import Run

SAMPLING = Sampling(temperature=1.0, max_tokens=8)


def test_every_prompt_gets_its_samples_in_order(prompt):
    model = ScriptedModel(lambda request: f"{request.messages[-1].content} take {request.index}")
    found = answer(model, [prompt(0), prompt(1)], sampling=SAMPLING, samples=2, run=Run(), stage="after")
    assert [a.text for a in found] == [
        "question 0 take 0",
        "question 0 take 1",
        "question 1 take 0",
        "question 1 take 1",
    ]
    assert len({a.key for a in found}) == 4
    assert found[0].parents == ("p0",)
    assert found[0].author == "scripted"


def test_no_bad_answer_is_dropped_and_all_are_counted(prompt):
    replies = {
        "question 0": Reply(text="to be contin", outcome="cut"),
        "question 1": Reply(text="", outcome="empty"),
        "question 2": Reply(text="blocked", outcome="refused"),
        "question 3": Reply(text="error page", outcome="failed"),
        "question 4": Reply(text="<think>hm</think>fine"),
    }
    model, run = ScriptedModel(lambda request: replies[request.messages[-1].content]), Run()
    found = answer(model, [prompt(i) for i in range(5)], sampling=SAMPLING, run=run, stage="before")
    assert [a.text for a in found] == ["to be contin", "", "", "", "fine"]
    assert run.counts()["before"] == {"asked": 5, "cut": 1, "empty": 1, "refused": 1, "failed": 1, "ok": 1}


def test_the_two_models_answers_have_keys_of_their_own(prompt):
    run, prompts = Run(), [prompt(0)]
    one, two = (
        answer(ScriptedModel(lambda _: "same", name=name), prompts, sampling=SAMPLING, run=run, stage=name)
        for name in ("base", "trained")
    )
    assert one[0].text == two[0].text
    assert one[0].key != two[0].key


def test_many_cut_answers_are_said_and_none_is_left_out(prompt):
    said: list[str] = []
    model = ScriptedModel(lambda r: Reply(text="half", outcome="cut"))
    answers = answer(
        model,
        [prompt(i) for i in range(30)],
        sampling=Sampling(max_tokens=64),
        run=Run(),
        stage="answers after",
        warn=said.append,
    )
    assert len(answers) == 30
    assert said == ["answers after: 30 of 30 answers cut at max_tokens=64 tokens; raise it"]
