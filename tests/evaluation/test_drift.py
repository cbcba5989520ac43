from cai_lite.evaluation.drift import measure_drift


def test_without_an_adapter_only_the_form_of_answers_is_measured(subject):
    found = measure_drift(subject("a b c", "a"))
    assert found.keys() == {"words", "boilerplate"}
    assert found["words"].change.value == 2.0 and found["boilerplate"].after.value == 1.0
