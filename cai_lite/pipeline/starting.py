"""`cai-lite init`: begin a project of one's own from packaged files, as a folder that runs as it is."""

from __future__ import annotations

import re
from pathlib import Path

from cai_lite.errors import InputError, did_you_mean
from cai_lite.inputs.yamlfile import packaged_files
from cai_lite.pipeline.recipe import load_recipe
from cai_lite.run.files import write_text

BASES = {
    "medical": "medical",
    "customer-service": "customer-service",
    "creative": "creative",
    "helpful-honest": "helpful-honest-harmless",
    "hipaa-privacy": "hipaa-privacy",
    "financial-advice": "financial-advice",
    "legal-information": "legal-information",
}
"""The packaged recipes that a project may begin from, each with its constitution."""


def init(folder: Path, base: str = "medical") -> list[Path]:
    """Write constitution.yaml, prompts.jsonl and recipe.yaml into a new folder, and return the files.

    They are copies of the packaged ones, whose recipe names its neighbours by relative paths. A base with a profile
    "embedded" brings constitution-embedded.yaml and prompts-embedded.jsonl for it.

    Raises:
        InputError: there is no such base, or a file is there already.
    """
    if base not in BASES:
        raise InputError(f"no recipe '{base}' to begin from{did_you_mean(base, BASES)}; take {', '.join(BASES)}")
    recipe = packaged_files("recipes")[base]
    prompts, embedded = (recipe.parent / "prompts" / f"{base}{end}.jsonl" for end in ("", "-embedded"))
    texts = {
        "constitution.yaml": packaged_files("constitutions")[BASES[base]].read_text(encoding="utf-8"),
        "prompts.jsonl": prompts.read_text(encoding="utf-8"),
        "recipe.yaml": _recipe(recipe.read_text(encoding="utf-8"), base, folder),
    }
    if embedded.is_file():
        known = packaged_files("constitutions")[f"{base}-embedded"]
        texts["constitution-embedded.yaml"] = known.read_text(encoding="utf-8")
        texts["prompts-embedded.jsonl"] = embedded.read_text(encoding="utf-8")
    there = [name for name in texts if (folder / name).exists()]
    if there or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{folder / there[0] if there else folder} is there already; choose another name")
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def profiles_of(folder: Path) -> str:
    """Return the options to try a new project at once, without a server: `--profile embedded` where it has that."""
    try:
        load_recipe(folder / "recipe.yaml", profile="embedded")
    except InputError:
        return ""
    return " --profile embedded"


def _recipe(text: str, base: str, folder: Path) -> str:
    """Return a packaged recipe with its own header, whose files are its neighbours."""
    _, _, body = text.partition("\nconstitution: ")
    body = re.sub(r"\A.*", "constitution: constitution.yaml", body, count=1)
    body = body.replace(f"prompts/{base}.jsonl", "prompts.jsonl")
    body = body.replace(f"constitution: {base}-embedded", "constitution: constitution-embedded.yaml")
    body = body.replace(f"prompts/{base}-embedded.jsonl", "prompts-embedded.jsonl")
    header = (
        f"# Begun from the packaged recipe '{base}'. Write your principles into constitution.yaml, your prompts into\n"
        "# prompts.jsonl; then, with the address of a teacher in TEACHER_URL:\n"
        f"#   cai-lite lint {folder}/constitution.yaml --prompts {folder}/prompts.jsonl\n"
        f"#   cai-lite run {folder}/recipe.yaml --dry-run\n"
        f"#   cai-lite preflight {folder}/recipe.yaml\n"
        f"#   cai-lite run {folder}/recipe.yaml\n\n"
    )
    return header + body
