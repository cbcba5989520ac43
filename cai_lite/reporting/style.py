# ruff: noqa: E501  (a style sheet reads better in long lines)
"""The style sheet of report.html, and that of a standalone figure. Green, red and amber mean good, bad and open."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --faint: #5c6675; --paper: #fbfbf9; --card: #fff; --line: #dde1e6;
  --accent: #0b6e8f; --other: #b4552d; --mark: #d9eef4; --warn: #8a4b00; --third: #7a5cc0; --fourth: #3f7a25;
  --good: #1c7a3d; --bad: #b3261e; --open: #8a5a00; --same: #6a7380; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --faint: #9aa5b4; --paper: #14181e; --card: #1b2129; --line: #313a46;
  --accent: #5cc0de; --other: #f0a07a; --mark: #1f4654; --warn: #f2b45c; --third: #b39af0; --fourth: #8fce6a;
  --good: #6fce8d; --bad: #ff8f84; --open: #f2b45c; --same: #9aa5b4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 940px; margin: 0 auto; padding: 2.2rem 1.25rem 5rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .8rem; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; border-top: 1px solid var(--line); padding-top: 1.4rem; } h3 { font-size: .9rem; margin: 0; color: var(--faint); }
p { margin: .5rem 0; overflow-wrap: anywhere; } .faint { color: var(--faint); font-size: .92rem; } .note { border-left: 3px solid var(--line); padding-left: .9rem; color: var(--faint); } .warn { color: var(--warn); font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); } .same { color: var(--same); } .span { color: var(--faint); font-size: .86em; white-space: nowrap; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0 0 1.2rem; font-size: .92rem; } dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
.verdict { border: 1px solid var(--line); border-left: 6px solid var(--open); border-radius: 8px; background: var(--card); padding: .7rem 1.1rem; margin: 1rem 0; } .verdict > p { font-size: 1.1rem; } .verdict-good { border-left-color: var(--good); } .verdict-bad { border-left-color: var(--bad); }
.verdict ul { margin: .4rem 0; padding: 0; list-style: none; } .verdict li { display: grid; grid-template-columns: 5rem 1fr; margin: .2rem 0; font-size: .95rem; overflow-wrap: anywhere; } .speaks-for b { color: var(--good); } .speaks-against b { color: var(--bad); } .speaks-open b { color: var(--open); }
figure { margin: 1rem 0; } figcaption { color: var(--faint); font-size: .88rem; }
.scroll { overflow-x: auto; margin: 1rem 0; } table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); padding-bottom: .3rem; } th, td { padding: .38rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; white-space: nowrap; }
td:nth-child(2):last-child { white-space: normal; min-width: 16rem; } figure > div svg { max-width: 680px; min-width: 480px; } figure > div .plane { max-width: 440px; min-width: 300px; }
th:first-child, td:nth-child(2):last-child { text-align: left; } thead th { color: var(--faint); font-weight: 500; } tbody th { font-weight: 500; white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
.first-line tbody tr:first-child > * { font-size: 1.15rem; } .first-line tbody tr:first-child td > span:first-child { font-weight: 700; } .first-line td .span { display: block; font-size: .8rem; } .judge td:last-child { white-space: normal; text-align: left; }
.principles { margin: 1rem 0; } .principles tr:not(.more) > * { vertical-align: middle; } .principles tbody tr:not(.more) > * { border: 0; padding-bottom: 0; } .principles tbody th { font-weight: 700; } .principles tr:not(.more) .span { display: block; } .principles .more td { text-align: left; white-space: normal; padding-top: 0; min-width: 0; } .more p { margin: .05rem 0; font-size: .88rem; } .strip { width: 160px; height: 24px; display: block; }
details { background: var(--card); border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; padding: .6rem .9rem; }
summary { cursor: pointer; display: flex; gap: 1rem; justify-content: space-between; } summary > span:last-child { text-align: right; font-size: .9rem; } .sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: 1.2rem; margin: .6rem 0; } .sides p { white-space: pre-line; }
mark { background: var(--mark); color: inherit; border-radius: 3px; padding: 0 .1em; } pre { overflow-x: auto; font-size: .82rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font: 13px system-ui, sans-serif; } svg .faint { fill: var(--faint); font-size: 11px; }
.grid { stroke: var(--line); } .link { stroke: var(--line); stroke-width: 5; } .before { stroke: var(--same); stroke-width: 2; } .after { stroke: currentColor; stroke-width: 2; }
.dot-before { fill: var(--paper); stroke: var(--same); stroke-width: 2; } .dot-after { fill: currentColor; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 1rem; } .curve { max-width: 460px; } .line { fill: none; stroke-width: 1.8; } .line-0 { stroke: var(--accent); } .line-1 { stroke: var(--other); stroke-dasharray: 5 3; }
svg .end { font-size: 11px; } svg .end-0 { fill: var(--accent); } svg .end-1 { fill: var(--other); }
.line-2 { stroke: var(--third); stroke-dasharray: 2 3; } .line-3 { stroke: var(--fourth); stroke-dasharray: 8 3; } svg .end-2 { fill: var(--third); } svg .end-3 { fill: var(--fourth); } .alarm { stroke: var(--warn); stroke-width: 1.5; stroke-dasharray: 3 3; }
nav { position: sticky; top: 0; z-index: 1; background: var(--paper); border-bottom: 1px solid var(--line); padding: .5rem 1.25rem; display: flex; gap: 1rem; overflow-x: auto; font-size: .9rem; white-space: nowrap; }
nav a, a { color: var(--accent); text-decoration: none; } nav a:hover, nav a:focus-visible, td a { text-decoration: underline; } section { scroll-margin-top: 3rem; } :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.filters { display: flex; flex-wrap: wrap; gap: .8rem; align-items: end; margin: 1rem 0; } .filters[hidden] { display: none; } label { display: grid; gap: .15rem; font-size: .85rem; color: var(--faint); } input, select { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .3rem .5rem; max-width: 100%; } .filters p { margin: 0; }
.heat { display: inline-block; padding: 0 .4rem; border-radius: 4px; color: var(--ink); background: color-mix(in srgb, var(--other) calc(var(--heat) * 70%), transparent); } details td { white-space: normal; } .pair td:last-child { text-align: left; min-width: 12rem; } .print { display: none; }
@media (max-width: 600px) { main { padding: 1.4rem .8rem 3rem; } th, td { padding: .3rem .25rem; white-space: normal; } table { font-size: .8rem; } tbody th { min-width: 5.5rem; } summary { flex-direction: column; gap: .1rem; } summary > span:last-child { text-align: left; }
  .first-line tbody tr:first-child > * { font-size: .85rem; } .first-line td:not(:last-child) .span { display: none; }
  .principles tr:not(.more) .span { display: inline; } .principles, .principles :is(caption, tbody, tr, th, td) { display: block; text-align: left; } .principles tr:not(.more) > * { border: 0; padding: .1rem 0; } .principles thead { display: none; } .principles td[data-name]:not(:nth-child(2))::before { content: attr(data-name) ": "; color: var(--faint); } .principles tr:not(.more) .span { display: block; } .principles .more td { padding-bottom: .6rem; } }
@media print { @page { margin: 12mm; } :root { font-size: 11px; } body { background: #fff; font-size: 9pt; line-height: 1.35; } main { max-width: none; padding: 0; } nav, .filters, details, #answers, #conflicts, #pairs, #counts, #calls, #recipe { display: none; } .print { display: block; } h1 { font-size: 14pt; } h2 { margin: 1rem 0 .4rem; padding-top: .5rem; font-size: 12pt; } h2, caption { break-after: avoid; }
  table { font-size: 8pt; } th, td { padding: .1rem .4rem; } tr, li, .curves svg, .verdict { break-inside: avoid; } .scroll { margin: .5rem 0; overflow: visible; } .facts { margin-bottom: .6rem; } .verdict { padding: .3rem .8rem; } .verdict > p { font-size: 11pt; } .verdict li { font-size: 9pt; margin: .05rem 0; } .strip { width: 130px; height: 20px; } figure > div .plane { max-width: 220px; min-width: 0; } .first-line td .span, .principles tr:not(.more) .span { display: inline; } .more p { font-size: 8pt; } .more { break-before: avoid; } .curves { grid-template-columns: repeat(4, 1fr); gap: .4rem; } }
"""

# Of a figure that leaves the page: no variables, black on white.
STANDALONE = """
svg { background: #fff; } text { fill: #1d2430; font: 13px sans-serif; } .faint { fill: #5c6675; font-size: 11px; } .grid { stroke: #dde1e6; }
.link { stroke: #dde1e6; stroke-width: 5; } .before { stroke: #b4552d; stroke-width: 2; } .after { stroke: #0b6e8f; stroke-width: 2; }
.dot-before { fill: #fff; stroke: #b4552d; stroke-width: 2; } .dot-after { fill: #0b6e8f; } .line { fill: none; stroke-width: 1.8; } .line-0 { stroke: #0b6e8f; }
"""
