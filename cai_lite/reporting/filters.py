"""Filters of report.html: its one script, and the controls that it reads. Without scripts, all rows can be opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cai_lite.reporting.html import Html, tag

SCRIPT = """
for (const box of document.querySelectorAll(".filters")) {
  const rows = [...document.querySelectorAll("details." + box.dataset.of)];
  const fields = [...box.querySelectorAll("[name]")];
  const read = name => (fields.find(f => f.name === name) || {value: ""}).value;
  const fits = (row, field) => {
    const d = row.dataset, v = field.value;
    if (field.type === "search") return row.textContent.toLowerCase().includes(v.toLowerCase());
    if (field.type === "range") return Number(d[field.name]) >= Number(v);
    if (!v) return true;
    if (d.state !== undefined && (field.name === "principle" || field.name === "state"))
      return d.state.split(" ").some(s => s && (!read("principle") || s.slice(0, -1) === read("principle"))
        && (!read("state") || read("state").includes(s.slice(-1))));
    return field.name === "tag" ? d.tag.split(" ").includes(v) : d[field.name] === v;
  };
  const look = () => {
    let n = 0;
    for (const row of rows) { row.hidden = !fields.every(f => fits(row, f)); n += !row.hidden; }
    box.querySelector("[aria-live]").textContent = n + " of " + rows.length + " fit";
  };
  box.hidden = false; box.addEventListener("input", look); look();
  for (const link of document.querySelectorAll('a[data-state][href="#' + box.parentElement.id + '"]'))
    link.addEventListener("click", () => {
      for (const f of fields) f.value = link.dataset[f.name] || "";
      look();
    });
}
"""


class Choice(NamedTuple):
    """A list to choose from. `name`: the attribute `data-name` of the rows; `options`: (value, label)."""

    name: str
    label: str
    options: Sequence[tuple[str, str]]


def filters(of: str, *controls: Choice | Html) -> Html:
    """Return the controls that filter the rows `details.OF`, hidden until the script shows them."""
    drawn = [_select(one) if isinstance(one, Choice) else one for one in controls]
    counted = tag("p", "", class_="faint", aria_live="polite")
    return tag("div", *drawn, counted, class_="filters", data_of=of, hidden="hidden")


def search() -> Html:
    """Return a field for words."""
    return _labelled("words", Html('<input name="words" type="search" placeholder="in any text">'))


def least(name: str, label: str) -> Html:
    """Return a slider for the least value of a number from 0 to 0.5."""
    return _labelled(label, Html(f'<input name="{name}" type="range" min="0" max="0.5" step="0.05" value="0">'))


def _select(choice: Choice) -> Html:
    options = [tag("option", label, value=value) for value, label in choice.options]
    return _labelled(choice.label, tag("select", tag("option", "any", value=""), *options, name=choice.name))


def _labelled(label: str, control: Html) -> Html:
    return tag("label", tag("span", label), control)
