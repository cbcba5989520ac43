"""Examine what is served: the prompts, sampling and judges of a run, asked of a server and compared in pairs.

A merge, a conversion, another chat template or a forgotten adapter change what users get, and no file shows it. So the
answers that a server gives are judged as those of the run were, and the gate holds only where they are shown to be not
worse by more than a margin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from cai_lite.chat.completions import estimated_tokens
from cai_lite.chat.endpoint import EndpointModel
from cai_lite.chat.weights import folder_digest
from cai_lite.errors import InputError, shortened, without_secrets
from cai_lite.evaluation.adherence import KeptCell
from cai_lite.evaluation.comparing import MARGIN, Against, Difference, paired
from cai_lite.evaluation.evaluate import evaluate
from cai_lite.evaluation.reply_kinds import refuses
from cai_lite.evaluation.result import Answered, read_answers, read_evaluation
from cai_lite.evaluation.table import show_against
from cai_lite.inputs.constitution import Constitution, load_constitution
from cai_lite.pipeline.make_pairs import sampling_of
from cai_lite.pipeline.recipe import Recipe
from cai_lite.pipeline.roles import open_roles
from cai_lite.pipeline.walk import prompts_of
from cai_lite.records import Messages, digest
from cai_lite.run.files import CONSTITUTION, free_name, write_text
from cai_lite.run.ledger import Run
from cai_lite.run.progress import Screen
from cai_lite.stats import Comparison, compare

FOLDER, RECORD = "served", "served.json"  # in the run, a folder for each served model; what it came to
_SIDE = "after"
# What decides an answer or its verdict besides the models; a difference would be one of the exam.
_EXAM = {
    "draft": ("temperature", "top_p", "max_tokens"),
    "evaluate": ("temperature", "samples", "oracle"),
    "judge": ("mode", "votes", "log_probs", "reason", "max_tokens", "principles"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a served model came to beside the run: see `examine`.

    `differences`: of adherence, over all and by principle, the run first. `unusable`: the share of prompts whose answer
    is empty or a refusal. `same`: the share of prompts with the very same answers. `against`: why the gate does not
    hold, one sentence each. `notes`: what else to know.
    """

    folder: Path
    model: str
    margin: float
    prompts: int
    differences: Mapping[str, Difference]
    unusable: Comparison
    same: float
    against: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether what is served was shown to be not worse than the run by more than the margin."""
        return not self.against

    def as_dict(self) -> dict[str, Any]:
        """Return the form of `--json` and of served.json."""
        return {
            "model": self.model,
            "holds": self.holds,
            "against": list(self.against),
            "notes": list(self.notes),
            "margin": self.margin,
            "prompts": self.prompts,
            "paired": {name: found.as_dict() for name, found in self.differences.items()},
            "unusable": self.unusable.as_dict(),
            "same_answers": self.same,
            "folder": str(self.folder),
        }


def examine(recipe: Recipe, out: Path, served: str, *, margin: float = MARGIN, quiet: bool = False) -> Served:
    """Ask the server `served`, written URL or URL#NAME, the held-out prompts of the finished run `out`, and compare.

    The chat template is the server's: its variables are not sent, since an exported template has them set. The answers
    stand in served/NAME of the run, as a run of their own. An interrupted exam goes on; a finished one is moved aside
    and asked anew, since the same name may stand for other weights by now.

    Raises:
        InputError: `out` is no finished run, its exam was another one, or the server does not say which model it is.
        ChatError: the server cannot be asked.
    """
    earlier = _answers(out)
    told = read_evaluation(out)
    roles, prompts = open_roles(recipe), prompts_of(recipe)
    _check_exam(recipe, roles.constitution, out)
    url, name = named(served, recipe.student.api_key_env)
    model = EndpointModel(
        url, model=name, api_key_env=recipe.student.api_key_env, concurrency=recipe.student.concurrency
    )
    if (adapter := out / "adapter").is_dir():
        model.digest = digest("served", model.digest, folder_digest(adapter))
    folder = out / FOLDER / (re.sub(r"[^\w-]+", "-", without_secrets(name)).strip("-")[-80:] or "model")
    if (folder / RECORD).is_file():
        folder.rename(free_name(folder))
    with Run(folder, budget=recipe.budget) as run, Screen(quiet=quiet, log=folder / "log.txt") as screen:
        screen.taken_over(run.recovered)
        found = evaluate(
            model,
            constitution=roles.constitution,
            judge=[voice.model for voice in roles.judges] or None,
            prompts=prompts.held_out,
            run=run,
            metrics=("adherence", "refusals"),
            baselines=(),
            oracle=recipe.evaluate.oracle,
            sampling=sampling_of(recipe, recipe.evaluate.temperature),
            samples=recipe.evaluate.samples,
            judging=recipe.judge,
            screen=screen,
        )
    model.close()
    roles.close()
    if found["judge"] != told["judge"]:
        raise InputError(f"other judges decided: {told['judge']} in {out}, {found['judge']} here; take the same recipe")
    result = compared(earlier, _answers(folder), roles.constitution, folder=folder, model=name, margin=margin)
    if note := _read_otherwise(_tokens_read(out), _tokens_read(folder), earlier):
        result = replace(result, notes=(*result.notes, note))
    write_text(folder / RECORD, json.dumps(result.as_dict(), indent=1, ensure_ascii=False) + "\n")
    return result


def compared(
    earlier: Sequence[Answered],
    now: Sequence[Answered],
    constitution: Constitution,
    *,
    folder: Path,
    model: str,
    margin: float = MARGIN,
) -> Served:
    """Compare the answers of a run with those of a server to the same prompts; see `Served`.

    An empty answer of the server keeps no principle, whatever decides.
    """
    before, after = _by_prompt(earlier), _by_prompt(now)
    shared = [prompt for prompt in before if prompt in after]
    if not shared:
        raise InputError("the run and the server answered no prompt in common; take the recipe of the run")
    cells = [
        [cell for prompt in shared for cell in _cells(side[prompt], constitution, before[prompt])]
        for side in (before, after)
    ]
    differences = paired(cells[0], cells[1], margin=margin)
    decided, still = ({(cell.prompt, cell.principle) for cell in side} for side in cells)
    undecided = len(decided - still) / max(1, len(decided))
    families = [before[prompt][0].family for prompt in shared]
    useless = [[_unusable(side[prompt]) for prompt in shared] for side in (before, after)]
    unusable = compare(useless[0], useless[1], families)
    texts = [[[each.answer.strip() for each in side[prompt]] for prompt in shared] for side in (before, after)]
    same = sum(one == other for one, other in zip(*texts, strict=True)) / len(shared)
    return Served(
        folder=folder,
        model=without_secrets(model),
        margin=margin,
        prompts=len(shared),
        differences=differences,
        unusable=unusable,
        same=same,
        against=tuple(_against(differences, unusable, undecided, margin)),
        notes=tuple(_notes(differences, margin, len(before) - len(shared))),
    )


def show_served(found: Served, run: Path, console: Console) -> None:
    """Print the differences, and whether the gate holds, with its reasons."""
    name = f"{found.model} as it is served"
    show_against(str(run), Against(name, found.differences, {}, found.prompts), console, found.margin)
    change = found.unusable.change
    for line in (
        f"empty answers and refusals: {found.unusable.before.value:.2f} in the run, {found.unusable.after.value:.2f} "
        f"served, change {change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}], n {change.n}",
        f"the very same answer to {found.same:.0%} of {found.prompts:,} prompts; the answers: {found.folder}",
        *found.notes,
    ):
        console.print(line, highlight=False, soft_wrap=True)
    verdict = (
        f"as good as it was measured: not worse by {found.margin:g}"
        if found.holds
        else "NOT shown to be as good as it was measured"
    )
    console.print(verdict, style="bold green" if found.holds else "bold red", highlight=False)
    for reason in found.against:
        console.print(f"  {reason}", highlight=False, soft_wrap=True)


def named(served: str, api_key_env: str = "OPENAI_API_KEY") -> tuple[str, str]:
    """Return the address and the model's name of URL#NAME; without a name, the server's only model.

    Raises:
        InputError: it is no address, or the server offers no model or several.
    """
    url, _, name = served.partition("#")
    if not url.startswith(("http://", "https://")):
        raise InputError(f"--served {served}: should be the URL of a server, such as http://localhost:8000/v1#NAME")
    if name:
        return url, name
    offered = _offered(url, api_key_env)
    if len(offered) != 1:
        some = f"offers {', '.join(sorted(offered)[:8])}" if offered else "does not say which models it offers"
        raise InputError(f"{url} {some}; name the one to examine: --served {url}#NAME")
    return url, offered[0]


def _offered(url: str, api_key_env: str) -> list[str]:
    """Return the names of the models that a server lists; none where it lists nothing that can be read."""
    import openai

    bare = EndpointModel(url, model="", api_key_env=api_key_env)
    try:
        listed = bare.connection().listed()
    except openai.OpenAIError as error:
        raise InputError(f"{url} does not list its models ({shortened(str(error))}); give URL#NAME") from error
    finally:
        bare.close()
    rows = listed.get("data") if isinstance(listed, dict) else None
    return [str(row["id"]) for row in rows or () if isinstance(row, dict) and row.get("id")]


def _answers(run: Path) -> list[Answered]:
    """Return the answers of the trained student in a run."""
    return [row for row in read_answers(run) if row.side == _SIDE]


def _by_prompt(rows: Sequence[Answered]) -> dict[Messages, list[Answered]]:
    found: dict[Messages, list[Answered]] = {}
    for row in rows:
        found.setdefault(row.prompt, []).append(row)
    return found


def _cells(rows: Sequence[Answered], constitution: Constitution, of_run: Sequence[Answered]) -> list[KeptCell]:
    """Return a cell for each verdict. `of_run`: the run's answers to the same prompt; an empty one is judged alike."""
    known = {principle.id: principle for principle in constitution.principles}
    asked = [id_ for row in of_run for id_, kept in row.verdicts.items() if kept is not None and id_ in known]
    found = []
    for row in rows:
        verdicts: Mapping[str, bool | None] = row.verdicts if row.answer.strip() else dict.fromkeys(asked, False)
        for id_, kept in verdicts.items():
            if kept is not None and id_ in known:
                principle, prompt = known[id_], digest("prompt", row.prompt)
                found.append(
                    KeptCell(prompt, of_run[0].family, id_, principle.digest, principle.weight, (float(kept),))
                )
    return found


def _unusable(rows: Sequence[Answered]) -> float:
    return sum(not row.answer.strip() or refuses(row.answer) for row in rows) / len(rows)


def _against(differences: Mapping[str, Difference], unusable: Comparison, undecided: float, margin: float) -> list[str]:
    """Return why the gate does not hold: what is worse, and what was not shown not to be.

    `undecided`: the share of the run's verdicts that have no counterpart; what cannot be judged may be anything.
    """
    overall = differences.get("adherence")
    if overall is None:
        return ["no verdict on what is served can be compared with one of the run"]
    found = []
    for name, each in differences.items():
        change = each.comparison.change
        span = f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}], n {change.n}"
        if change.high < -margin or (name == "adherence" and change.high < 0 and not each.not_worse):
            found.append(f"{name} is worse than in the run: {span}")
        elif name == "adherence" and not each.not_worse:
            found.append(
                f"{name} may be worse by more than {margin:g}: {span}; more held-out prompts or evaluate.samples say "
                "more, or --margin allows more"
            )
    if undecided > margin:
        found.append(f"{undecided:.0%} of what was decided in the run cannot be decided on what is served")
    if unusable.change.low > margin:
        found.append(f"empty answers and refusals are more frequent than in the run: {unusable.change.value:+.2f}")
    return found


def _notes(differences: Mapping[str, Difference], margin: float, missing: int) -> list[str]:
    found = [f"{missing:,} prompts of the run were not asked here, and are left out"] if missing else []
    if (overall := differences.get("adherence")) and overall.comparison.change.low > margin:
        found.append("adherence is clearly higher than in the run: is this the model that was measured?")
    return found


def _tokens_read(run: Path) -> tuple[int, int]:
    """Return how many answers the trained student of a run was asked for, and the tokens of their prompts together."""
    if not (run / "run.db").is_file():
        return 0, 0
    with Run.reading(run) as opened:
        asked = [row for row in opened.calls() if row["stage"] == f"answers {_SIDE}"]
    return sum(row["calls"] for row in asked), sum(row["tokens_in"] or 0 for row in asked)


def _read_otherwise(then: tuple[int, int], now: tuple[int, int], answers: Sequence[Answered]) -> str:
    """Return a note if a server read the same prompts as other numbers of tokens than the run did, or "".

    A server that counts no tokens has estimates, which say nothing.
    """
    estimates = sum(estimated_tokens("".join(message.content for message in row.prompt)) for row in answers)
    if then[0] != now[0] or then[0] != len(answers) or then[1] == now[1] or now[1] == estimates:
        return ""
    return (
        f"the prompts were {now[1]:,} tokens to the server and {then[1]:,} to the run: the chat template is another, "
        "or the tokenizer splits otherwise (a start token twice, or a space added in front)"
    )


def _check_exam(recipe: Recipe, constitution: Constitution, out: Path) -> None:
    """Check that the recipe examines as the run did. Raises InputError where it does not."""
    file = out / "recipe.yaml"
    if not file.is_file():
        raise InputError(f"{out} is not the directory of a finished run (recipe.yaml not found)")
    old, new = yaml.safe_load(file.read_text(encoding="utf-8")), yaml.safe_load(recipe.resolved())
    for section, names in _EXAM.items():
        then, now = old.get(section) or {}, new.get(section) or {}
        for name in names:
            if name in then and name in now and then[name] != now[name]:
                raise InputError(
                    f"{section}.{name} is {now[name]} here and was {then[name]} in {out}: another exam says nothing "
                    f"about the difference; give {file} as the recipe"
                )
    if (out / CONSTITUTION).is_file():
        texts = {each.id: each.digest for each in load_constitution(out / CONSTITUTION).principles}
        for principle in constitution.principles:
            if texts.get(principle.id, principle.digest) != principle.digest:
                raise InputError(f"the principle '{principle.id}' has another text than in {out}; take the run's own")
