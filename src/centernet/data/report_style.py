"""The looks of the page that `report_html` makes: light and dark, for wide and narrow windows."""

from __future__ import annotations

STYLE = """
:root { --ground: #f5f6f8; --card: #fff; --ink: #1c2128; --faint: #66707c; --line: #dfe3e8; --bar: #5b8def;
  --error: #c62f3b; --warning: #b26a00; --good: #1f8a4c; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --card: #1e2329; --ink: #e6e9ed; --faint: #98a2ad;
  --line: #333a43; --bar: #4c7ee0; --error: #f0636d; --warning: #e09b2d; --good: #4cc47f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { margin: 0; font-size: 26px; overflow-wrap: anywhere; }
h2 { margin: 36px 0 10px; font-size: 19px; }
h3 { margin: 0; font-size: 15px; text-transform: uppercase; letter-spacing: .06em; color: var(--faint); }
p { margin: 6px 0 12px; }
.sub, small, .source, figcaption { color: var(--faint); }
small, .source, figcaption { font-size: 12.5px; overflow-wrap: anywhere; }
.badge { display: inline-block; padding: 3px 12px; border-radius: 99px; color: #fff; font-weight: 600; }
.badge.error { background: #c62f3b; } .badge.warning { background: #a86400; } .badge.good { background: #1f8a4c; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(290px, 1fr)); gap: 14px; margin-top: 14px; }
.card, details, table, pre, .pair { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.card { padding: 14px 16px 10px; }
.figures { font-size: 15px; } .figures b { font-size: 24px; margin-left: 14px; } .figures b:first-child { margin: 0; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 0 0 8px; }
dt { color: var(--faint); } dd { margin: 0; text-align: right; }
details { margin: 8px 0; border-left: 5px solid var(--faint); padding: 8px 14px; }
details.error { border-left-color: var(--error); } details.warning { border-left-color: var(--warning); }
summary { cursor: pointer; font-weight: 600; }
summary small { display: block; font-weight: 400; margin-left: 18px; }
summary code { margin-left: 6px; font-size: 12.5px; font-weight: 400; color: var(--faint); }
.count { font-variant-numeric: tabular-nums; }
.error .count { color: var(--error); } .warning .count { color: var(--warning); }
details ul { margin: 8px 0 4px; padding-left: 20px; max-height: 340px; overflow: auto; font-size: 14px; }
details li { margin: 2px 0; overflow-wrap: anywhere; }
.path i { color: var(--faint); font-style: normal; }
.path { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12.5px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 14px; margin-top: 10px; }
details .grid { grid-template-columns: repeat(auto-fill, 240px); }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 14px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; padding: 10px; align-items: start; }
.pair small { grid-column: 1 / -1; }
figure { margin: 0; }
.picture { position: relative; line-height: 0; border-radius: 6px; overflow: hidden; background: #727272; }
.picture img { width: 100%; }
.picture .heat, .picture svg { position: absolute; inset: 0; width: 100%; height: 100%; }
rect { fill: transparent; stroke-width: 2; vector-effect: non-scaling-stroke; }
rect.ignored { stroke: #fff; stroke-dasharray: 5 4; }
figcaption { margin-top: 4px; line-height: 1.35; }
label { margin: 0 16px 0 4px; cursor: pointer; }
#h:checked ~ .grid .picture img:first-child { filter: brightness(.8) saturate(.75); }
#h:not(:checked) ~ .grid .heat, #b:not(:checked) ~ .grid svg { display: none; }
table { width: 100%; border-collapse: separate; border-spacing: 0; overflow: hidden; }
th, td { padding: 6px 12px; text-align: left; border-top: 1px solid var(--line); vertical-align: middle; }
thead th { border-top: 0; color: var(--faint); font-weight: 500; }
tbody th { font-weight: 600; white-space: nowrap; width: 1%; }
td { width: 30%; } td:nth-child(2):has(.crops) { width: auto; }
td small { display: block; }
.absent { color: var(--faint); }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 8px; }
figcaption span { white-space: nowrap; } figcaption .dot { margin: 0 4px 0 0; width: 8px; height: 8px; }
figcaption span + span { margin-left: 6px; } figcaption .dot + span { margin: 0; }
.crops { display: flex; gap: 4px; } .crops img { height: 44px; max-width: 72px; border-radius: 4px; object-fit: cover; }
.bar { display: flex; align-items: center; gap: 8px; height: 20px; }
.bar span { height: 12px; min-width: 1px; border-radius: 3px; background: var(--bar); flex-shrink: 1; }
.bar b { font-weight: 500; font-variant-numeric: tabular-nums; }
pre { padding: 12px 16px; overflow: auto; font-size: 13px; }
"""
