from cai_lite.reporting.card import card, write_card


def test_the_card_has_the_numbers_of_the_evaluation_and_its_limits(run_dir, evaluation):
    text = write_card(run_dir).read_text()
    assert text.startswith("---\nbase_model: Qwen/Qwen2.5-7B-Instruct\n")
    assert "| kind-tone | 0.622 | 0.844 | +0.222 |" in text
    assert "0.885 [0.823, 0.948], n = 61" in text or "0.885 [0.822, 0.948], n = 61" in text
    assert "## Limits" in text


def test_toy_models_are_called_so_and_are_no_hub_model(evaluation):
    text = card({**evaluation, "against": "embedded:student"})
    assert "toy size" in text and "base_model" not in text


def test_without_an_adapter_there_is_no_card(tmp_path):
    assert write_card(tmp_path) is None
