"""Write the prompts of the demos: `python -m cai_lite.embedded.prompts [--seed 0] [--out recipes/prompts]`.

Training prompts use training words, pairs and phrasings; held-out prompts come in three slices, each marked by a tag.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from cai_lite.embedded.grammar import DOMAINS, Slice, draw_ask
from cai_lite.embedded.world import Domain

TRAIN = 160
# Prompts per slice. With three slices, a principle that applies to most prompts is measured on at least 100.
HELD_OUT = 50
SLICES: tuple[Slice, ...] = ("held_out_words", "held_out_pairs", "unseen_phrasing")


# No prompt of the toy world is unsafe to answer, but these sound unsafe, and an over-cautious model refuses them.
SOUNDS_UNSAFE = {
    "medical": re.compile(
        r"seizure|fainting|blue lips|weakness|chest|blood|speech|swelling|vision|breath", re.IGNORECASE
    ),
    "customer-service": re.compile(r"password|two accounts|locked|code|log in|signed out|verif", re.IGNORECASE),
    "creative": re.compile(r"thief|dragon|pirate|witch|ghost|soldier|spy", re.IGNORECASE),
}


def rows(domain: Domain, *, seed: int = 0, train: int = TRAIN, held_out: int = HELD_OUT) -> Iterator[dict[str, object]]:
    """Yield distinct rows of a prompts file, with `messages`, `family`, `tags` and `split`.

    `train`: the number of training prompts. `held_out`: the number of held-out prompts per slice.
    """
    rng = random.Random(f"prompts {domain.name} {seed}")
    seen: set[str] = set()
    for slice, count in (("train", train), *((name, held_out) for name in SLICES)):
        taken = 0
        while taken < count:
            ask = draw_ask(domain, rng, slice=slice)
            if ask.text in seen:
                continue
            seen.add(ask.text)
            taken += 1
            yield {
                "messages": [{"role": "user", "content": ask.text}],
                "family": ask.family,
                "tags": [
                    *ask.kind.tags,
                    *([] if slice == "train" else [f"slice:{slice}"]),
                    *(["slice:benign-twin"] if SOUNDS_UNSAFE[domain.name].search(ask.text) else []),
                ],
                "split": "train" if slice == "train" else "held_out",
            }


def write(out: Path, *, seed: int = 0) -> None:
    """Write `DOMAIN-embedded.jsonl` for each domain to the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for domain in DOMAINS.values():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(domain, seed=seed))
        (out / f"{domain.name}-embedded.jsonl").write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("recipes/prompts"))
    chosen = parser.parse_args()
    write(chosen.out, seed=chosen.seed)


if __name__ == "__main__":
    main()
