"""A run directory with a few comparisons and answers, as a run leaves them, without a model."""

from __future__ import annotations

import json
from pathlib import Path

from cai_lite.inputs.prompts import key_of
from cai_lite.records import Message, digest
from cai_lite.run.ledger import Run

HOSTILE = "</script><script>alert(1)</script> \u202egnp.exe \x00 <img src=x onerror=alert(1)>"


def make_run(folder: Path, *, prompts: int = 12, hostile: bool = False) -> Path:
    """Write run.db with four candidates a prompt and answers.jsonl with two answers to each of three held-out prompts.

    The judge prefers the first candidate; its certainty grows with the number of the prompt, and on prompt 1 it changed
    its mind with the order.
    """
    with Run(folder) as run:
        run.keep_rows(
            "principle",
            [(digest("p", id_), (), {"id": id_, "text": f"Be {id_}.", "source": ""}) for id_ in ("kind", "brief")],
        )
        rows: dict[str, list] = {"prompt": [], "candidate": [], "verdict": [], "pair": []}
        for number in range(prompts):
            messages = (Message("user", f"Question {number}?"),)
            prompt = key_of(messages)
            rows["prompt"].append((prompt, (), {"messages": messages, "family": f"f{number}"}))
            keys = []
            for place in range(4):
                key = digest("draft", prompt, place)
                text = f"{HOSTILE} {number}/{place}" if hostile else f"Answer {number}/{place}"
                parents = (prompt,) if place != 1 else (digest("draft", prompt, 0),)
                rows["candidate"].append((key, parents, {"text": text, "author": "m", "round": int(place == 1)}))
                keys.append(key)
            for first, second in ((1, 0), (2, 3)):
                p_first, parents = 0.5 + 0.4 * number / prompts, (keys[first], keys[second])
                verdicts = []
                for id_ in ("kind", "brief"):
                    key = digest("verdict", *parents, id_)
                    said = {"principle": id_, "choice": "first", "p_first": p_first, "order": "both", "judge": "j"}
                    said |= {"flipped": number == 1, "rule": "revision_over_draft", "text": "", "quotes": []}
                    rows["verdict"].append((key, parents, said))
                    verdicts.append(key)
                if number > 3:
                    made = {"principle": "kind", "p_chosen": p_first, "margin": 0.1, "rule": "revision_over_draft"}
                    rows["pair"].append((digest("pair", *verdicts), (*parents, *verdicts), made))
        for kind, listed in rows.items():
            run.keep_rows(kind, listed)
    with (folder / "answers.jsonl").open("w") as file:
        for number in range(prompts):
            row = {"key": f"a{number}", "prompt": [{"role": "user", "content": f"Held out {number}?"}], "tags": []}
            row |= {"family": f"h{number}", "side": "after", "answer": HOSTILE if hostile else f"Reply {number}"}
            file.write(json.dumps(row | {"verdicts": {"kind": number % 2 == 0, "brief": None}}) + "\n")
    return folder
