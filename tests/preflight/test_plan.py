"""`plan`: what fits, what makes it fit, and how long it takes."""

from __future__ import annotations

import json
import urllib.error

import pytest
from rich.console import Console
from transformers import LlamaConfig, Qwen2Config
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError, ModelError
from cai_lite.logps.footprint import Footprint
from cai_lite.pipeline.ready import calls_for_pairs
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.pipeline.walk import prompts_of
from cai_lite.preflight.plan import plan, show_plan
from cai_lite.preflight.sizes import cache_file, config_of, sizes_of
from cai_lite.training.config import MEMORY_SHARE


@pytest.fixture(scope="module")
def shape(tmp_path_factory):
    """A folder with nothing but the config of a Llama of 7B."""
    folder = tmp_path_factory.mktemp("llama")
    LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        vocab_size=32000,
        tie_word_embeddings=False,
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    """A folder with nothing but the config of the recipes' own student, Qwen2.5-7B."""
    folder = tmp_path_factory.mktemp("qwen")
    Qwen2Config(
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        vocab_size=152064,
        tie_word_embeddings=False,
    ).save_pretrained(folder)
    return str(folder)


def recipe(shape, *overrides):
    base = [f"student.model={shape}", "train.tokens_per_batch=1", "train.max_tokens=1024", "draft.max_tokens=512"]
    lora = ["train.lora.rank=16", "train.lora.alpha=32"]
    return load_recipe("medical", overrides=[*base, *lora, *overrides], environment=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Footprints take some seconds each."""
    return tmp_path_factory.mktemp("cache") / "footprints.json"


def test_a_7b_in_nf4_stands_as_counted_by_hand(shape, cache):
    """6.476e9 weights in layers at 0.516 bytes, 2 x 131e6 at two bytes, norms; 40.0e6 LoRA weights at 16 bytes."""
    found = plan(recipe(shape), cache=cache)
    assert found["weights_gb"] == pytest.approx(6.476 * 0.51587 + 0.5243 + 0.0005, rel=2e-3)
    assert found["adapter_gb"] == pytest.approx(0.03998 * 16, rel=2e-3)
    assert found["longest_pair"] == {"prompt_tokens": 512, "completion_tokens": 512}
    whole, *_, small = found["cards"]
    assert (whole["layers_recomputed"], small["tokens_a_pass"]) == (0, 1536)
    standing = found["weights_gb"] + found["adapter_gb"] + 0.6
    # A layer keeps at least its input for 1,534 tokens, in two bytes.
    assert small["peak_gb"] > standing + small["layers_recomputed"] * 1534 * 4096 * 2 / 1e9
    assert small["peak_gb"] < 8
    assert whole["training_hours"] < small["training_hours"]


def test_by_default_four_sizes_of_gpu_are_shown_and_the_smaller_the_more_is_recomputed(shape, cache):
    cards = plan(recipe(shape), cache=cache)["cards"]
    assert [card["gpu_memory_gb"] for card in cards] == [24, 16, 12, 8]
    counts = [card["layers_recomputed"] for card in cards]
    assert counts == sorted(counts)
    assert counts[0] == 0 < counts[-1]
    for card in cards:
        assert card["peak_gb"] <= (card["gpu_memory_gb"] * 2**30 / 1e9 - 0.6) * MEMORY_SHARE + 0.6
        assert card["peak_gb"] < card["gpu_memory_gb"]


def test_a_pass_has_the_tokens_that_the_recipe_allows(shape, cache):
    """More than the longest pair, and less than two of them: a shorter pair fills the rest."""
    small = plan(recipe(shape), gpu_memory=24, cache=cache)
    full = plan(recipe(shape, "train.tokens_per_batch=2500"), gpu_memory=24, cache=cache)
    assert (small["tokens_per_pass"], full["tokens_per_pass"]) == (1536, 2500)
    assert full["cards"][0]["peak_gb"] > small["cards"][0]["peak_gb"] + 2
    few = plan(recipe(shape, "train.tokens_per_batch=65536", "train.batch_size=1"), gpu_memory=24, cache=cache)
    assert few["tokens_per_pass"] == 1536


def test_between_two_passes_the_footprint_is_above_the_true_one(shape, cache):
    sizes = sizes_of(recipe(shape, "train.tokens_per_batch=3072"), config_of(shape), "nf4", cache)
    assert (sizes.tokens, sizes.single_tokens) == (3072, 1536)
    true = sizes_of(recipe(shape, "train.tokens_per_batch=2304"), config_of(shape), "nf4", cache).full
    for recomputed in (0, 20, 32):
        found = sizes.footprint(2304).peak(recomputed)
        assert found == pytest.approx(true.peak(recomputed), rel=0.03)


def test_what_is_known_is_not_computed_again(shape, cache, monkeypatch):
    first = plan(recipe(shape), cache=cache)
    monkeypatch.setattr("cai_lite.preflight.sizes._computed", None)
    assert plan(recipe(shape), cache=cache) == first
    with pytest.raises(TypeError):
        plan(recipe(shape, "train.lora.rank=8"), cache=cache)


def test_a_cache_that_cannot_be_used_is_no_error(shape, tmp_path, monkeypatch, cache):
    known = json.loads(cache.read_text())
    monkeypatch.setattr("cai_lite.preflight.sizes._computed", lambda *_: Footprint(**next(iter(known.values()))))
    (tmp_path / "file").write_text("")
    assert plan(recipe(shape), gpu_memory=24, cache=tmp_path / "file" / "footprints.json")["fits"]
    (tmp_path / "torn.json").write_text('{"a": ')
    assert plan(recipe(shape), gpu_memory=24, cache=tmp_path / "torn.json")["fits"]


def test_what_does_not_fit_says_what_would(shape, cache):
    found = plan(recipe(shape, "student.load=bfloat16"), gpu_memory=8, cache=cache)
    assert not found["fits"]
    assert found["cards"][0]["walk"] == []
    assert found["advice"] == "does not fit on 8 GB; it fits with student.load: nf4"
    found = plan(recipe(shape, "train.max_tokens=4096"), gpu_memory=7, cache=cache)
    assert found["advice"].startswith("does not fit on 7 GB; it fits with train.max_tokens: ")
    found = plan(recipe(shape), gpu_memory=3, cache=cache)
    assert "smaller student" in found["advice"]


def test_the_whole_run_is_counted_and_timed(shape, cache):
    read = recipe(shape)
    found = plan(read, device="rtx-3090", pairs=1000, cache=cache)
    (card,) = found["cards"]
    assert (card["gpu_memory_gb"], card["tflops"]) == (24, 71)
    parts = {part["part"]: part for part in card["walk"]}
    drafts = len(prompts_of(read).train) * read.draft.n
    assert parts["drafts"]["calls"] == drafts
    # Half of the drafts are revised, and half of those again; a revision is critiqued as a draft is.
    revisions = drafts // 2 + drafts // 4
    critiques, judged = read.critique.principles_per_draft, read.judge.principles
    verdicts = 2 * judged * (drafts // 2 + drafts // 4 * 6)  # two orders; six comparisons of four drafts
    expected = (drafts + revisions) * critiques + revisions + verdicts
    assert parts["critiques, revisions, verdicts"]["calls"] == pytest.approx(expected, abs=4)
    assert parts["training"]["calls"] == 1000
    assert card["hours"] == pytest.approx(sum(part["hours"] for part in card["walk"]))
    slow = plan(read, device="rtx-3090", pairs=1000, teacher_rate=100, cache=cache)["cards"][0]
    name = "critiques, revisions, verdicts"
    assert next(part["hours"] for part in slow["walk"] if part["part"] == name) == pytest.approx(
        10 * parts[name]["hours"]
    )


def test_all_rounds_are_counted_and_timed(shape, cache):
    one, three = (
        {part["part"]: part for part in plan(read, device="rtx-3090", pairs=1000, cache=cache)["cards"][0]["walk"]}
        for read in (recipe(shape), recipe(shape, "rounds=3"))
    )
    for name in ("drafts", "critiques, revisions, verdicts", "training"):
        assert three[name]["calls"] == 3 * one[name]["calls"]
        assert three[name]["hours"] == pytest.approx(3 * one[name]["hours"])
    assert three["held-out drafts"] == one["held-out drafts"]
    assert one["answers before and after"]["calls"] < three["answers before and after"]["calls"]
    assert "judging what still fails" in three.keys() - one.keys()


def test_decoding_is_as_fast_as_the_memory_is_read(shape, cache):
    fast, slow = (plan(recipe(shape), device=name, cache=cache)["cards"][0] for name in ("a10", "l4"))
    assert fast["decoding_tokens_per_second"] == pytest.approx(2 * slow["decoding_tokens_per_second"])


def test_a_teacher_on_this_machine_is_not_timed(shape, cache):
    read = recipe(shape, "teacher.url=null")
    card = plan(read, gpu_memory=24, cache=cache)["cards"][0]
    assert card["hours"] is None
    assert card["training_hours"] > 0


def test_twice_the_speed_is_half_the_hours_and_the_tables_say_what_was_assumed(shape, cache):
    read = recipe(shape)
    one, two = (plan(read, gpu_memory=24, tflops=tflops, cache=cache) for tflops in (50, 100))
    assert one["cards"][0]["training_hours"] == pytest.approx(2 * two["cards"][0]["training_hours"])
    console = Console(record=True, width=140)
    show_plan(one, console)
    text = console.export_text()
    for words in ("predicted", "50 TFLOP/s, 1008 GB/s", "assumed: training and decoding reach 40% of", "fits on 24 GB"):
        assert words in text


@pytest.mark.parametrize("profile", [None, "gpu12", "gpu8", "alone"])
@pytest.mark.parametrize("name", ["medical", "creative"])
def test_the_packaged_recipes_fit_the_cards_that_they_are_for(name, profile, qwen, cache):
    read = load_recipe(name, [f"student.model={qwen}"], profile=profile, environment=False)
    found = plan(read, gpu_memory={"gpu12": 12, "gpu8": 8}.get(profile, 24), cache=cache)
    assert found["fits"]
    assert found["tokens_per_pass"] == found["cards"][0]["tokens_a_pass"]


def test_the_command_needs_no_server_and_no_network(shape, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = ["train.tokens_per_batch=1", "train.max_tokens=1024", "train.lora.rank=16"]
    words = [word for setting in (f"student.model={shape}", *settings) for word in ("--set", setting)]
    done = CliRunner().invoke(app, ["plan", "medical", *words, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["fits"]
    assert cache_file().is_file()
    done = CliRunner().invoke(app, ["plan", "medical", "--set", "student.model=nobody/nothing"])
    assert done.exit_code == 2
    assert "nobody/nothing is not on this machine and cannot be downloaded (HF_HUB_OFFLINE is set)" in done.output


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch):
    asked = []

    def unreachable(request, timeout):
        asked.append((request.full_url, timeout))
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(ModelError, match=r"cannot be downloaded \(https://.* cannot be reached: no network\)"):
        config_of("nobody/nothing")
    assert len(asked) == 1


def test_wrong_numbers_and_models_are_refused(shape, tmp_path):
    with pytest.raises(InputError, match="gpu_memory should be above 0"):
        plan(recipe(shape), gpu_memory=0)
    with pytest.raises(InputError, match="no device 'rtx-4091'; did you mean 'rtx-4090'"):
        plan(recipe(shape), device="rtx-4091")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"cannot be opened: Unrecognized model"):
        plan(recipe(str(tmp_path)), gpu_memory=8)


def test_every_phase_of_a_training_is_planned_for(shape, cache):
    lora = "lora: {rank: 16, alpha: 32}, tokens_per_batch: 1, max_tokens: 1024"
    dpo = f"{{method: dpo, epochs: 2, {lora}}}"
    alone = plan(recipe(shape, f"train=[{dpo}]"), device="rtx-3090", pairs=1000, cache=cache)
    phases = f"train=[{{method: sft, on: revisions, {lora}}}, {dpo}]"
    both = plan(recipe(shape, phases), device="rtx-3090", pairs=1000, cache=cache)
    (one,), (two,) = alone["cards"], both["cards"]
    parts = {part["part"]: part for part in two["walk"]}
    assert parts["training 1, dpo"]["calls"] == 1000 and 0 < parts["training 0, sft"]["calls"] < 1000
    assert one["training_hours"] == pytest.approx(parts["training 1, dpo"]["hours"])
    trainings = parts["training 0, sft"]["hours"] + parts["training 1, dpo"]["hours"]
    assert two["training_hours"] == pytest.approx(trainings)
    assert two["peak_gb"] == one["peak_gb"]  # a row of DPO has two completions, one of SFT has one
    many = plan(recipe(shape, f"train=[{dpo.replace('dpo', 'listwise')}]"), device="rtx-3090", cache=cache)
    assert many["tokens_per_pass"] == 512 + 8 * 512  # four drafts and their revisions


def test_revisions_that_a_phase_learns_are_counted_where_no_pair_needs_them(shape):
    rules = "pair.rules=[best_over_worst]"
    sft = "train=[{method: sft, on: revisions}]"
    plain, learnt = (calls_for_pairs(recipe(shape, rules, *more), 10) for more in ([], [sft]))
    read = recipe(shape, rules, sft)
    drafts = 10 * read.draft.n
    more = drafts * (read.critique.principles_per_draft + read.revise.rounds)
    assert learnt == {"draft": plain["draft"] + more, "judge": plain["judge"]}
