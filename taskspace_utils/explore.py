"""Explorers: small pages inside a page, alive in a browser without a kernel.

Each is one piece of HTML with its data and a few lines of JavaScript in it. Text from data reaches
the page only as text, never as markup, and without JavaScript something can still be read.
"""

from __future__ import annotations

import html
import json
from string import Template

import pandas as pd

from taskspace_utils.store import key_of


class Html(str):
    """Markup that a notebook shows as it is."""

    def __repr__(self) -> str:
        return f"<Html, {len(self)} characters>"

    def _repr_html_(self) -> str:
        return str(self)


def difference(good: str, bad: str) -> tuple[str, str, str, str]:
    """What two sentences share at the start, what each has in between, what they share at the end.

    Counted in words; the parts joined by spaces give the sentences.
    """
    a, b = good.split(), bad.split()
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    middle = (a[start : len(a) - end], b[start : len(b) - end])
    parts = (a[:start], *middle, a[len(a) - end :])
    return tuple(" ".join(part) for part in parts)


PAIRS = Template("""
<div class="ts-explorer" id="$id">
<style>
#$id { border: 1px solid var(--pst-color-border, #ccc); border-radius: .25rem; padding: .75rem; }
#$id .bar { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
#$id select { max-width: 100%; }
#$id select, #$id button { font: inherit; padding: .15rem .5rem; color: inherit;
  background: var(--pst-color-surface, transparent); border: 1px solid currentColor;
  border-radius: .25rem; }
#$id ul { list-style: none; padding: 0; margin: .75rem 0 0; font-size: 1.05em; }
#$id b { text-decoration: underline; text-underline-offset: .2em; text-decoration-thickness: 2px; }
#$id .good b { text-decoration-color: #0072B2; }
#$id .bad b { text-decoration-color: #D55E00; text-decoration-style: wavy; }
#$id .side { display: inline-block; width: 3em; color: var(--pst-color-text-muted, inherit); }
#$id p { margin: .5rem 0 0; font-size: .9em; }
</style>
<div class="bar"><label>task <select></select></label>
<button type="button">another pair</button></div>
<ul aria-live="polite">$first</ul>
<p class="about"></p>
<script>
(() => {
  const data = $data;
  const box = document.getElementById("$id"), select = box.querySelector("select");
  const list = box.querySelector("ul"), about = box.querySelector(".about");
  let last = -1;
  const line = (side, [start, middle, end]) => {
    const item = document.createElement("li"), name = document.createElement("span");
    const marked = document.createElement("b");
    item.className = side; name.className = "side"; name.textContent = side;
    marked.textContent = middle;
    item.append(name, start && start + " ", marked, middle && " ", end);
    return item;
  };
  const show = () => {
    const { pairs, about: text } = data[select.value];
    let i = Math.floor(Math.random() * pairs.length);
    if (i === last) i = (i + 1) % pairs.length;
    last = i;
    const [start, good, bad, end] = pairs[i];
    list.replaceChildren(line("good", [start, good, end]), line("bad", [start, bad, end]));
    about.textContent = text;
  };
  for (const name of Object.keys(data)) select.append(new Option(name.replaceAll("_", " "), name));
  select.addEventListener("change", show);
  box.querySelector("button").addEventListener("click", show);
  show();
})();
</script>
</div>
""")


def pair_explorer(pairs: pd.DataFrame, n: int = 20) -> Html:
    """Random pairs of a chosen task, with what differs underlined.

    Args:
        pairs: a table of pairs.
        n: at most so many of each task travel with the page.
    """
    data = {}
    for task, some in pairs.groupby("task", sort=True):
        facts = {c: some[c].iloc[0] for c in ("phenomenon", "rule", "frame") if c in some}
        about = " · ".join(f"{c}: {str(v).replace('_', ' ')}" for c, v in facts.items())
        shown = some.head(n)
        data[task] = {
            "about": about,
            "pairs": [difference(g, b) for g, b in zip(shown["good"], shown["bad"], strict=True)],
        }
    start, good, bad, end = next(iter(data.values()))["pairs"][0]
    first = "".join(
        f'<li class="{side}"><span class="side">{side}</span>'
        f"{html.escape(start)} <b>{html.escape(middle)}</b> {html.escape(end)}</li>"
        for side, middle in (("good", good), ("bad", bad))
    )
    inert = json.dumps(data).replace("<", "\\u003c")  # no text can end the script
    return Html(PAIRS.substitute(id=f"ts-{key_of(data)}", first=first, data=inert))


def picture(figure, alt: str, width: int = 700) -> Html:
    """A matplotlib figure as HTML that carries its own description, to be shown on other pages."""
    import base64
    import io

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, bbox_inches="tight")
    data = base64.b64encode(file.getvalue()).decode()
    return Html(
        f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" width="{width}" '
        'style="max-width: 100%; height: auto">'
    )
