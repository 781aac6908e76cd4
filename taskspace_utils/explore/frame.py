"""What explorers have in common: a frame with its data, a live part, and a part that stands still.

Without JavaScript, and on paper, only the still part is seen; with it, only the live part. In the
parts of an explorer `@id` stands for its own class name, so that two on a page do not mix. It
is well-formed XML too, since an e-book is XHTML.
"""

from __future__ import annotations

import html
import json

from taskspace_utils.explore.markup import Html
from taskspace_utils.store import key_of

STYLE = """
.@id { border: 1px solid var(--pst-color-border, #ccc); border-radius: .25rem; padding: .75rem; }
.@id:not(.alive) > .live { display: none; }
.@id.alive > .still { display: none; }
@media print {
  .@id.alive > .still { display: block; }
  .@id.alive > .live { display: none; }
}
.@id .bar { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
.@id select, .@id button { font: inherit; padding: .15rem .5rem; color: inherit; max-width: 100%;
  background: var(--pst-color-surface, transparent); border: 1px solid currentColor;
  border-radius: .25rem; }
.@id option, .@id optgroup { background: var(--pst-color-background, Canvas); }
.@id :is(select, button, input, [tabindex]):focus-visible {
  outline: 3px solid #0072B2; outline-offset: 2px; }
.@id p { margin: .5rem 0 0; }
.@id img { max-width: 100%; height: auto; }
.@id svg text { fill: currentColor; font-size: 12px; }
"""

# `text` writes what a person typed or data holds: words between backquotes as code, nothing else.
TOOLS = """
const make = (tag, name, ...inside) => {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...inside);
  return made;
};
const text = (said) => said.split("`").map((part, i) => i % 2 ? make("code", "", part) : part);
const shape = (tag, marks, said) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(marks)) made.setAttribute(name, value);
  if (said !== undefined) made.textContent = said;
  return made;
};
"""


def frame(data: object, live: str, still: str, script: str, style: str = "") -> Html:
    """One explorer as markup.

    Args:
        data: what JSON can hold; the script finds it as `data`.
        live: markup of our own that the script fills; shown only where the script runs.
        still: markup with all text escaped; shown without JavaScript and in print.
        script: statements that see `box` (the explorer), `data`, `find` (a selector's first
            element) and the TOOLS.
        style: rules beyond the common ones.
    """
    name = f"ts-{key_of([data, script])}"
    parts = f"""
<div class="ts-explorer @id">
<style>{STYLE}{style}</style>
<div class="live">{live}</div>
<script>/*<![CDATA[*/
for (const box of document.querySelectorAll(".@id:not(.alive)")) {{
  box.classList.add("alive");
  const data = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
  const find = (selector) => box.querySelector(selector);
  {TOOLS}{script}
}}
/*]]>*/</script>
""".replace("@id", name)
    # data and the still part hold words of others: put in last, where nothing is replaced any more
    held = f'<script type="application/json">{inert(data)}</script>'
    return Html(
        parts.replace("<script>", f'<div class="still">{still}</div>\n{held}\n<script>', 1)
        + "</div>\n"
    )


def inert(data: object) -> str:
    """JSON that can stand in a page, in HTML as in XHTML, and end no script."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def plain(said: str) -> str:
    """Words as markup: escaped, and what stands between backquotes as code."""
    parts = html.escape(said).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts))
