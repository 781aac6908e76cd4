"""Passports: what a figure of a page carries with it, and how a page shows it.

Each named figure of a chapter has its picture as the run drew it (.png), the same drawn again from
its table alone for light and for dark pages (.svg), the table (.csv), and a passport (.json): what
ran, with which parameters and seeds, on which inputs by their hashes, with which code, and how
long. A page shows the picture that fits it, and links to all of them under the caption.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from taskspace_utils import store
from taskspace_utils.publishing import redraw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWING = threading.Lock()  # matplotlib draws one figure at a time


def issue(folder: Path, notebook, chapter: Path, parameters: Mapping) -> dict[str, dict]:
    """Draw what a chapter's figures left in a folder again, and complete their provenance.

    Args:
        folder: see `figures.drawn`.
        notebook: executed without an error; has papermill's seconds of each cell.
        chapter: its text.
        parameters: that it ran with.

    Returns:
        what `redraw.collect` gives, and pictures: .svg, -dark.svg (texts), .png (base64).
    """
    root = store.project_root()
    about = {
        "chapter": chapter.stem,
        "profile": parameters.get("profile", ""),
        "parameters": dict(parameters),
        "inputs": {
            "text": store.file_hash(chapter),
            "data": store.tree_hash(p for p in (root / "data").rglob("*") if p.is_file()),
            "environment": store.file_hash(root / "requirements.txt"),
        },
        "versions": store.versions() | {"matplotlib": version("matplotlib")},
    }
    found = redraw.collect(folder, notebook, **about)
    cells = {c.execution_count: c for c in notebook.cells if c.cell_type == "code"}
    for name, left in found.items():
        cell = cells.get(left["about"]["cell"])
        if cell is not None:
            _complete(left["about"], cell, left["table"])
            left["pictures"] = _pictures(folder / left["number"])
            if png := _shown(cell):
                left["pictures"][".png"] = png["data"]["image/png"].replace("\n", "")
        left["about"]["files"] = [f"{name}{end}" for end in (".csv", *left.get("pictures", ()))]
    return found


def _complete(about: dict, cell, table: str) -> None:
    """Add what the cell says: caption, alternative text, seconds; seeds and hash of the table."""
    options = cell.metadata.get("mystnb", {})
    about["caption"] = options.get("figure", {}).get("caption", "")
    about["alt"] = options.get("image", {}).get("alt", "")
    about["seconds"] = cell.metadata.get("papermill", {}).get("duration")
    about["seeds"] = _seeds(about, table)
    about["table_sha256"] = hashlib.sha256(table.encode()).hexdigest()


def _seeds(about: Mapping, table: str) -> list:
    """The seeds of pre-training that a table shows, or of the runs that it was made of."""
    import pandas as pd

    if "seed" in about["columns"] and len(shown := pd.read_csv(io.StringIO(table))):
        return sorted(shown["seed"].dropna().unique().tolist())
    return sorted({seed for run in about["runs"] for seed in run.get("seeds", ())})


def _shown(cell):
    """The one output of a cell that is a picture; None if there is none, or there are several."""
    pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
    return pictures[0] if len(pictures) == 1 else None


def _pictures(path: Path) -> dict[str, str]:
    with DRAWING:
        import matplotlib.pyplot as plt

        before = plt.get_backend()
        plt.switch_backend("agg")  # no window, and any thread may draw
        figure = redraw.draw(path)
        try:
            return drawings(figure)
        finally:
            plt.close(figure)
            if before != "agg":
                plt.switch_backend(before)


def drawings(figure: Figure) -> dict[str, str]:
    """A figure as SVG for light and for dark pages: of one size, so that no page jumps."""
    from taskspace_utils import dark

    light = _svg(figure)
    figure.set_layout_engine("none")  # each drawing would move things by a hair
    return {".svg": light, "-dark.svg": _svg(dark.darken(figure))}


def _svg(figure: Figure) -> str:
    """The same figure is the same text."""
    import matplotlib as mpl

    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "task-spaces"}):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def show(cell, name: str, left: Mapping) -> None:
    """Let a cell's output show the light or the dark picture, and link to all that there is."""
    files = {"svg": f"{name}.svg", "png": f"{name}.png"}
    files |= {"table": f"{name}.csv", "provenance": f"{name}.json"}
    files["code"] = f"{left['about']['figure']}.py"
    there = {*left["about"]["files"], files["provenance"], files["code"]}
    links = [f"{{download}}`{w} <figures/{f}>`" for w, f in files.items() if f in there]
    cell.metadata["mystnb"]["figure"]["caption"] += "\n\n" + " · ".join(links)
    if (output := _shown(cell)) and f"{name}-dark.svg" in there:
        from taskspace_utils import dark

        addresses = (f"../figures/{name}.svg", f"../figures/{name}-dark.svg")
        output["data"]["text/html"] = dark.both(*addresses, left["about"]["alt"])
