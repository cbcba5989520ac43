"""`plan --power`: the formula beside statsmodels', and by simulation of what it promises."""

from __future__ import annotations

import json
from statistics import NormalDist

import numpy as np
import pytest
from rich.console import Console
from statsmodels.stats.power import TTestPower
from typer.testing import CliRunner

from cai_lite.cli import app
from cai_lite.errors import InputError
from cai_lite.evaluation.adherence import CELLS, KeptCell
from cai_lite.preflight.power import DIFFERENCES, Basis, detectable, measured, power, required, show_power
from cai_lite.run.ledger import Run
from cai_lite.stats import compare, difference


def basis(**changed):
    plain = {
        "name": "one principle",
        "rate": 0.7,
        "variance": 0.21,
        "pairing": 0.5,
        "correlation": 0.2,
        "change_correlation": 0.0,
        "n": 65,
        "families": 13,
        "size": 5.0,
    }
    return Basis(**{**plain, **changed})


@pytest.mark.parametrize("points", DIFFERENCES)
def test_independent_prompts_need_what_statsmodels_says(points):
    alone = basis(correlation=0.0, n=65, families=65, size=1.0)
    effect = points / (2 * 0.21 * 0.5) ** 0.5
    theirs = TTestPower().solve_power(effect, alpha=0.05, power=0.8)
    assert required(alone, points, paired=True)[0] == pytest.approx(theirs, abs=2)


def test_families_raise_the_number_by_their_design_effect():
    apart, alike = (required(basis(correlation=within), 0.02, paired=False)[0] for within in (0.0, 1.0))
    assert alike / apart == pytest.approx(5.0, rel=0.01)
    prompts, families = required(basis(), 0.02, paired=False)
    assert families == -(-prompts // 5)


def test_what_is_detectable_needs_just_the_prompts_that_are_there():
    for paired in (True, False):
        assert required(basis(), detectable(basis(), paired=paired), paired=paired)[0] == pytest.approx(65, abs=1)


def simulated(given, points, *, paired, draws=400, seed=0):
    """Return how often the interval of the library excludes 0 with the planned prompts, for a normal latent trait."""
    rng = np.random.default_rng(seed)
    _, families = required(given, points, paired=paired)
    family_N = np.repeat(np.arange(families), 5)
    middles = [NormalDist().inv_cdf(rate) for rate in (given.rate - points / 2, given.rate + points / 2)]

    def draw(shared_F, own_N):
        latent_N = 0.55 * shared_F[family_N] + (1 - 0.55**2) ** 0.5 * own_N
        return [(latent_N < middle).astype(float).tolist() for middle in middles]

    shown = 0
    for _ in range(draws):
        before, _ = draw(rng.normal(size=families), rng.normal(size=len(family_N)))
        _, after = draw(rng.normal(size=families), rng.normal(size=len(family_N)))
        if paired:
            change = compare(before, after, family_N.tolist()).change
        else:
            change = difference(after, family_N.tolist(), before, family_N.tolist())
        shown += change.low > 0
    return shown / draws


@pytest.mark.parametrize("paired", [True, False])
def test_a_plan_keeps_its_promise_by_simulation(paired):
    """Both runs draw their families anew, so that pairing gains nothing: the correlation within families is .19."""
    given = basis(pairing=0.0, correlation=0.19, change_correlation=0.19)
    assert 0.74 < simulated(given, 0.1, paired=paired) < 0.88


def cells(prompts=60, families=12):
    rng = np.random.default_rng(2)
    before, after = rng.random(prompts) < 0.4, rng.random(prompts) < 0.7
    return [
        KeptCell(f"p{i}", f"f{i % families}", name, text, 1.0, (float(before[i]), float(after[i])))
        for i in range(prompts)
        for name, text in (("kind", "k"), ("always", "a"))
        if name == "kind" or i < 20
    ] + [KeptCell("p0", "f0", "rare", "r", 1.0, (0.0, 1.0))]


def test_a_run_gives_its_own_variance_and_families():
    kind = next(each for each in measured(cells()) if each.name == "kind")
    after = [cell.kept[1] for cell in cells() if cell.principle == "kind"]
    assert kind.rate == pytest.approx(np.mean(after)) and kind.variance == pytest.approx(np.var(after, ddof=1))
    assert (kind.n, kind.families, kind.size) == (60, 12, 5.0)
    assert [each.name for each in measured(cells())] == ["all principles", "kind", "always"]  # "rare" has one prompt


def test_the_table_shows_prompts_and_families_and_what_is_assumed(tmp_path):
    with Run(tmp_path / "run") as opened:
        opened.remember(CELLS, cells())
    console = Console(record=True, width=140)
    show_power(power([], tmp_path / "run"), console)
    text = console.export_text()
    assert "all principles: same prompts" in text and "measured: adherence" in text and "12 families show" in text


def test_nothing_to_plan_with_is_said(tmp_path):
    with pytest.raises(InputError, match="no held-out prompts"):
        power([])
    with Run(tmp_path / "run"):
        pass
    with pytest.raises(InputError, match="holds no decisions"):
        power([], tmp_path / "run")


def test_the_command_prints_a_table_or_json():
    runner = CliRunner()
    found = runner.invoke(app, ["plan", "medical", "--power", "--json"])
    assert found.exit_code == 0, found.output
    (one,) = json.loads(found.stdout)["bases"]
    assert one["families"] == 36 and one["required"][2]["difference"] == 0.05
    assert one["required"][2]["paired"]["prompts"] > one["n"] > one["required"][-1]["paired"]["prompts"] / 2
    assert "assumed: adherence 0.70" in runner.invoke(app, ["plan", "medical", "--power"]).stdout
    refused = runner.invoke(app, ["plan", "medical", "--run", "somewhere"])
    assert refused.exit_code == 2 and "--run is for --power" in refused.output
