"""A sheet: an executed notebook as one HTML file that needs nothing else, and the pieces of it.

No scripts, fonts or pictures from elsewhere. Whatever comes from data is escaped where it becomes a
piece; a notebook shows the same pieces.
"""

from __future__ import annotations

import base64
import html
import io
import re
import warnings

import numpy as np
import pandas as pd

STYLE = """
:root { color-scheme: light dark; --line: #bbb; --soft: #f4f4f4; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
       overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.2; margin-top: 1.8em; }
table { border-collapse: collapse; margin: 1em 0; font-size: .9em; }
caption { text-align: left; padding: .3em 0; }
th, td { border-bottom: 1px solid var(--line); padding: .25em .7em; text-align: right; }
th[scope=row], thead th:first-child, .text { text-align: left; }
figure { margin: 1em 0; } img { max-width: 100%; height: auto; background: white; }
details { margin: .5em 0; } pre { background: var(--soft); padding: .6em; overflow-x: auto; }
li { margin: .4em 0; } .because { opacity: .8; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --soft: #222; } }
"""


def page(notebook) -> str:
    """An executed notebook as one HTML page: its text, its outputs, its code folded away.

    Markdown is that of the template; outputs are HTML that the functions below escaped, and any
    other output is shown as text.
    """
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(markdown.render(cell.source))
            continue
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/html" in data:
                parts.append("".join(data["text/html"]))
            elif text := data.get("text/plain", output.get("text", "")):
                parts.append(f"<pre>{html.escape(''.join(text))}</pre>")
        if cell.get("outputs"):
            code = html.escape(cell.source)
            parts.append(f"<details><summary>code</summary><pre>{code}</pre></details>")
    # nothing is fetched and nothing runs, whatever may have got into a name
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Report on a probe</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + "\n</main></body></html>\n"
    )


class Shown:
    """HTML that a notebook shows and `page` takes over."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_html_(self) -> str:
        return f'<div class="ts-report">{self.text}</div>'

    def __repr__(self) -> str:
        """Its text alone, where there is no page: rows as lines, cells apart."""
        lines = re.sub(r"</(tr|p|li|h3|caption)>", "\n", self.text)
        return html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"</t[dh]>", "  ", lines))).strip()


def _cell(value: object, digits: int = 2) -> str:
    if isinstance(value, float | np.floating):
        return "–" if not np.isfinite(value) else f"{value:.{digits}f}"
    return html.escape(str(value))


def table(rows: pd.DataFrame, caption: str, digits: int = 2) -> str:
    """A table whose first column names its rows; cells escaped, "–" where there is no number."""
    worded = [i and any(_is_text(v) for v in rows[c]) for i, c in enumerate(rows.columns)]
    kinds = [' class="text"' if is_text else "" for is_text in worded]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(str(name))}</th>'
        for name, kind in zip(rows.columns, kinds, strict=True)
    )
    body = []
    for first, *others in rows.itertuples(index=False):
        cells = (
            f"<td{kind}>{_cell(v, digits)}</td>" for v, kind in zip(others, kinds[1:], strict=True)
        )
        name = _cell(first, digits).replace("_", "_<wbr>")  # a long one may end its line there
        body.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    named = html.escape(caption)
    return (  # wide tables scroll inside, by keyboard too
        '<div style="overflow-x: auto" tabindex="0" role="region" '
        f'aria-label="{named}">'
        f"<table><caption>{named}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not value.isdecimal()


def paragraph(text: str) -> str:
    """A paragraph of plain text, escaped."""
    return f"<p>{html.escape(text)}</p>"


def picture(figure, alt: str) -> str:
    """A figure as a picture inside the page; says so where its font lacks a script's letters."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    lacking = [one for one in said if "missing from font" in str(one.message)]
    for other in (one for one in said if one not in lacking):
        warnings.warn(other.message, stacklevel=2)
    note = "Letters that the picture's font lacks are boxes in it; the tables have them."
    below = f"<figcaption>{html.escape(note)}</figcaption>" if lacking else ""
    data = base64.b64encode(buffer.getvalue()).decode()
    image = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}{below}</figure>"
