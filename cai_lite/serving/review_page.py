"""The page of a review: HTML, script and style as they are served. Texts of a run enter it as text nodes alone."""

# ruff: noqa: E501  (a style sheet reads better in long lines)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Review</title>
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<header><span id="place"></span><progress id="progress" max="1" value="0"></progress><span id="who"></span></header>
<main>
<section id="prompt" aria-label="Prompt"></section>
<section id="principles" aria-label="Principle" hidden></section>
<section id="texts" aria-label="Answers"></section>
<section id="editor" aria-label="Edit" hidden>
<label for="edited" id="editing"></label>
<textarea id="edited" spellcheck="true"></textarea>
<p class="faint">Ctrl+Enter saves, Escape leaves</p>
</section>
<section id="jump" aria-label="Jump" hidden>
<label for="number">Go to item</label> <input id="number" inputmode="numeric" autocomplete="off">
</section>
<section id="judge" aria-label="Judge" hidden></section>
<p id="status" role="status"></p>
</main>
<footer id="keys"></footer>
</body>
</html>
"""

SCRIPT = r"""
"use strict";
const token = location.hash.slice(1);
const find = id => document.getElementById(id);
const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Surrogate}/gu;
const KEYS = {
  pairs: [["a", "A is better"], ["b", "B is better"], ["t", "tie"], ["Shift+A", "leaning to A"], ["Shift+B", "leaning to B"]],
  answers: [["k", "keeps it"], ["b", "breaks it"], ["Shift+K", "leaning to keeps"], ["Shift+B", "leaning to breaks"]],
  ranks: [["1-9", "rank of the marked text"], ["Backspace", "one back"], ["Enter", "done"]],
};
const ALWAYS = [["s", "skip"], ["f", "flag"], ["e", "edit"], ["u", "undo"], ["j", "jump"], ["←", "previous"], ["→", "next"]];
const JUDGE = ["w", "what the judge said"];
let item = null, last = null, busy = false, picking = false, hinted = false, ranks = [], side = 0, since = 0;

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) write(made, text);
  if (kind) made.className = kind;
  return made;
}

function write(into, text) {
  let from = 0;
  for (const found of text.matchAll(UNSAFE)) {
    into.append(text.slice(from, found.index));
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.textContent = "U+" + found[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    into.append(mark);
    from = found.index + found[0].length;
  }
  into.append(text.slice(from));
}

async function ask(path, sent) {
  const reply = await fetch("/" + path, {method: "POST", headers: {"x-review-token": token, "content-type": "application/json"}, body: JSON.stringify(sent)});
  const found = await reply.json();
  if (!reply.ok) throw new Error(found.error || "the server refused");
  return found;
}

function say(text, wrong) {
  find("status").replaceChildren();
  write(find("status"), text);
  find("status").className = wrong ? "wrong" : "";
}

function hide() {
  for (const id of ["editor", "jump", "judge"]) find(id).hidden = true;
  picking = false;
}

function show(next) {
  item = next; hinted = false; since = performance.now(); ranks = item.ranks.slice();
  hide();
  find("place").textContent = (item.at + 1) + " of " + item.total;
  find("progress").value = item.total ? item.done / item.total : 0;
  find("who").textContent = item.done + " done by " + item.by;
  find("prompt").replaceChildren(...item.prompt.map(([role, text]) => {
    const turn = element("div", undefined, "turn");
    turn.append(element("h2", role || "prompt"), element("p", text, "text"));
    return turn;
  }));
  find("principles").replaceChildren(...item.principles.map(([id, text]) => {
    const line = element("p", undefined, "principle");
    line.append(element("b", id), " ", element("span", text));
    return line;
  }));
  find("principles").hidden = item.mode !== "answers";
  find("texts").className = "of-" + Math.min(item.texts.length, 3);
  find("texts").replaceChildren(...item.texts.map((text, i) => {
    const card = element("article");
    const letter = item.mode === "answers" ? "Answer" : "ABCDEFGHI"[i];
    card.append(element("h2", letter));
    card.append(element("p", text, "text"));
    if (item.edit && item.edit[0] === i) {
      card.append(element("h2", "edited"));
      card.append(element("p", item.edit[1], "text"));
    }
    return card;
  }));
  mark();
  keys();
  window.scrollTo(0, 0);
}

function mark() {
  [...find("texts").children].forEach((card, i) => {
    const letter = "abcdefghi"[i];
    card.classList.toggle("chosen", item.mode === "pairs" && (item.choice === letter || item.choice === "tie"));
    card.classList.toggle("current", item.mode === "ranks" && i === ranks.length);
    if (item.mode === "ranks") card.firstChild.textContent = "ABCDEFGHI"[i] + (ranks[i] ? ": rank " + ranks[i] : "");
  });
  if (item.choice) say("decided: " + item.choice + (item.confidence < 1 ? " (leaning)" : ""));
}

function keys() {
  const listed = [...KEYS[item.mode], ...ALWAYS, ...(item.mode === "ranks" ? [] : [JUDGE]), ...(item.mode === "pairs" ? [["o", "show the principle"]] : [])];
  find("keys").replaceChildren(...listed.map(([key, what]) => {
    const button = element("button");
    button.type = "button";
    button.append(element("kbd", key), " " + what);
    const pressed = {"←": "ArrowLeft", "→": "ArrowRight"}[key] || (key.startsWith("Shift+") ? key.slice(6) : key);
    if (key === "1-9") button.disabled = true;
    button.addEventListener("click", () => { button.blur(); press(pressed, true); });
    return button;
  }));
}

async function doing(what) {
  if (busy) return;
  busy = true;
  try { await what(); } catch (error) { say(error.message, true); } finally { busy = false; }
}

async function decide(choice, more) {
  const at = item.at;
  const sent = {key: item.key, choice, hinted, seconds: (performance.now() - since) / 1000, ...more};
  const found = await ask("decide", sent);
  last = found.before;
  show(found.item);
  const said = found.finished ? "all items are done" : "item " + (at + 1) + ": " + (choice || "edited") + (more && more.confidence < 1 ? " (leaning)" : "");
  say(said + (found.note ? "; " + found.note : ""));
}

function edit(which) {
  hide();
  side = which;
  find("editing").textContent = item.mode === "answers" ? "The answer as it should be" : "Text " + "ABCDEFGHI"[which] + " as it should be";
  find("edited").value = item.edit && item.edit[0] === which ? item.edit[1] : item.texts[which];
  find("editor").hidden = false;
  find("edited").focus();
}

function save() {
  const value = find("edited").value;
  const better = item.mode === "pairs" && !item.choice ? "ab"[side] : "";
  return doing(() => decide(better, {edit: value, side}));
}

function judge() {
  const of = item.judge ? item : last;
  const box = find("judge");
  if (!of || !of.judge) { say("what the judge said is shown after your decision"); return; }
  if (!box.hidden) { box.hidden = true; return; }
  box.replaceChildren(element("h2", "Item " + (of.at + 1) + ": you said " + of.choice));
  for (const [id, text] of of.principles) box.append(element("p", id + ": " + text));
  for (const line of of.judge) box.append(element("p", line, "text"));
  box.hidden = false;
  box.scrollIntoView({block: "nearest"});
}

function go(at) { return doing(async () => { say(""); show(await ask("item", {at})); }); }

function press(key, shift) {
  const mode = item && item.mode;
  if (!item || busy) return false;
  if (key === "Escape") { hide(); say(""); return true; }
  if (picking && "abcdefghi".slice(0, item.texts.length).includes(key) && key.length === 1) { say(""); edit("abcdefghi".indexOf(key)); return true; }
  picking = false;
  if (mode === "pairs" && ["a", "b"].includes(key)) doing(() => decide(key));
  else if (mode === "pairs" && ["A", "B"].includes(key)) doing(() => decide(key.toLowerCase(), {confidence: 0.5}));
  else if (mode === "pairs" && key === "t") doing(() => decide("tie"));
  else if (mode === "answers" && ["k", "b", "K", "B"].includes(key)) doing(() => decide(key.toLowerCase() === "k" ? "keeps" : "breaks", {confidence: key < "a" ? 0.5 : 1}));
  else if (mode === "ranks" && /^[1-9]$/.test(key)) { if (ranks.length === item.texts.length) ranks = []; ranks.push(Number(key)); mark(); }
  else if (mode === "ranks" && key === "Backspace") { ranks.pop(); mark(); }
  else if (mode === "ranks" && key === "Enter") { if (ranks.length === item.texts.length) doing(() => decide("ranks", {ranks})); else say("every text needs a rank", true); }
  else if (key === "s") doing(() => decide("skip"));
  else if (key === "f") doing(() => decide("flag"));
  else if (key === "u") doing(async () => { const found = await ask("undo", {}); show(found.item); say("taken back"); });
  else if (key === "e") { if (item.texts.length === 1) edit(0); else if (mode === "pairs" && (item.choice === "a" || item.choice === "b")) edit("ab".indexOf(item.choice)); else { picking = true; say("edit which? press its letter; of a pair it counts as the better one"); } }
  else if (key === "j") { hide(); find("jump").hidden = false; find("number").value = ""; find("number").focus(); }
  else if (key === "ArrowLeft") { if (item.at > 0) go(item.at - 1); }
  else if (key === "ArrowRight") { if (item.at + 1 < item.total) go(item.at + 1); }
  else if (key === "o" && mode === "pairs") { if (!item.choice) hinted = true; find("principles").hidden = !find("principles").hidden; }
  else if (key === "w" && mode !== "ranks") judge();
  else return false;
  return true;
}

document.addEventListener("keydown", event => {
  if (event.target === find("edited")) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); }
    else if (event.key === "Escape") { find("edited").blur(); hide(); }
    return;
  }
  if (event.target === find("number")) {
    if (event.key === "Enter") { const at = Number(find("number").value); hide(); if (Number.isInteger(at) && at > 0) go(at - 1); else say("a number from 1 to " + item.total, true); }
    else if (event.key === "Escape") { find("number").blur(); hide(); }
    return;
  }
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ")) return;
  if (press(event.key)) event.preventDefault();
});

doing(async () => show(await ask("item", {})));
"""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --faint: #5c6675; --paper: #fbfbf9; --card: #fff; --line: #dde1e6; --accent: #0b6e8f; --bad: #b3261e; --mark: #fde7c8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --faint: #9aa5b4; --paper: #14181e; --card: #1b2129; --line: #313a46; --accent: #5cc0de; --bad: #ff8f84; --mark: #5a4217; } }
* { box-sizing: border-box; }
body { min-height: 100vh; display: flex; flex-direction: column; margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
header, footer { position: sticky; background: var(--paper); padding: .5rem 1.25rem; display: flex; gap: .5rem 1rem; align-items: center; z-index: 1; }
header { top: 0; border-bottom: 1px solid var(--line); } header progress { flex: 1; min-width: 3rem; height: .5rem; accent-color: var(--accent); } #who { color: var(--faint); overflow-wrap: anywhere; }
footer { bottom: 0; border-top: 1px solid var(--line); flex-wrap: wrap; }
main { flex: 1; width: 100%; max-width: 1200px; margin: 0 auto; padding: 1rem 1.25rem 2rem; }
h2 { font-size: .85rem; margin: 0 0 .2rem; color: var(--faint); font-weight: 600; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0 0 .8rem; unicode-bidi: isolate; max-height: 55vh; overflow-y: auto; }
.mark { background: var(--mark); border-radius: 3px; padding: 0 .2em; font: .75em ui-monospace, monospace; }
#prompt { border-left: 3px solid var(--line); padding-left: .9rem; margin-bottom: 1rem; }
#principles, #judge { border: 1px solid var(--line); border-left: 5px solid var(--accent); border-radius: 8px; background: var(--card); padding: .6rem 1rem; margin: 1rem 0; overflow-wrap: anywhere; } :is(#principles, #judge) p { margin: .2rem 0; }
#texts { display: grid; gap: 1rem; align-items: start; } #texts.of-2 { grid-template-columns: 1fr 1fr; } #texts.of-3 { grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem 0; min-width: 0; } article.chosen { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent); } article.current { outline: 2px solid var(--accent); }
textarea { width: 100%; min-height: 12rem; } textarea, input { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .5rem; } #editor, #jump { margin-top: 1rem; } [hidden] { display: none !important; }
#status { min-height: 1.6em; color: var(--faint); overflow-wrap: anywhere; } #status.wrong { color: var(--bad); font-weight: 600; } .faint { color: var(--faint); font-size: .9rem; margin: .3rem 0; }
button { font: inherit; font-size: .85rem; color: var(--ink); background: none; border: 1px solid transparent; border-radius: 6px; padding: .1rem .3rem; cursor: pointer; } button:hover:enabled, button:focus-visible { border-color: var(--line); }
kbd { font: .85em ui-monospace, monospace; border: 1px solid var(--line); border-bottom-width: 2px; border-radius: 4px; padding: 0 .35em; background: var(--card); }
@media (max-width: 720px) { #texts.of-2 { grid-template-columns: 1fr; } main, header, footer { padding-left: .8rem; padding-right: .8rem; } footer { position: static; } .text { max-height: none; } }
"""
