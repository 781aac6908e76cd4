"""Redraw: figures of the book, drawn again from the tables that they left behind.

While a chapter is executed, each figure leaves its table and where it came from (`figures.drawn`).
The executed notebook carries both in its metadata; a book puts them, with the code that drew them,
into `figures/` beside its pages. The module imports matplotlib only to draw.
"""

from __future__ import annotations

import base64
import importlib
import inspect
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from taskspace_utils import store
from taskspace_utils.store import InputError
from taskspace_utils.tables import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CODE = Path(__file__).parent.parent / "figures"
FORMATS = (".png", ".svg", ".pdf")


def collect(folder: Path, notebook, **about) -> dict[str, dict]:
    """What a chapter's figures left in a folder, by their labels.

    A figure is told by the label of its cell (`fig-…`). What has none, or is the second of a cell,
    is called after its chapter, module and number.

    Args:
        notebook: executed; its cells' execution counts say which figure is whose.
        about: what else the provenance of each should say: chapter and profile.

    Returns:
        about, number (of its files in the folder) and table (CSV) of each.
    """
    labels = {
        cell.execution_count: cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for cell in notebook.cells
        if cell.cell_type == "code"
    }
    found: dict[str, dict] = {}
    for path in sorted(folder.glob("*.json")):
        left = about | json.loads(path.read_text(encoding="utf-8"))
        name = labels.get(left["cell"])
        if not name or name in found:
            name = f"{about['chapter']}-{left['figure']}-{path.stem}"
        text = path.with_suffix(".csv").read_text(encoding="utf-8")
        found[name] = {"about": left, "number": path.stem, "table": text}
    return found


def write(folder: Path, figures: Mapping[str, Mapping]) -> None:
    """Put figures' tables, provenance, pictures and the code that drew them into a folder."""
    for name, left in figures.items():
        store.write_atomic(folder / f"{name}.csv", left["table"])
        store.write_atomic(folder / f"{name}.json", json.dumps(left["about"], indent=1) + "\n")
        for ending, picture in left.get("pictures", {}).items():
            content = base64.b64decode(picture) if ending == ".png" else picture
            store.write_atomic(folder / f"{name}{ending}", content)
        code = CODE / f"{left['about']['figure']}.py"
        store.write_atomic(folder / code.name, code.read_bytes())


def listing(folder: Path) -> pd.DataFrame:
    """The figures whose tables lie in a folder.

    Returns:
        columns name, module, chapter, profile; a row a figure, in the order of chapters.
    """
    rows = []
    for path in folder.glob("*.json"):
        about = json.loads(path.read_text(encoding="utf-8"))
        rows.append((path.stem, about["figure"], about.get("chapter"), about.get("profile")))
    table = pd.DataFrame(rows, columns=["name", "module", "chapter", "profile"])
    return table.sort_values(["chapter", "name"], ignore_index=True)


def modules() -> list[str]:
    """The names of all figure modules."""
    return sorted(path.stem for path in CODE.glob("[a-z]*.py"))


def redraw(
    name: str, folder: Path, run: str | Path | None = None, where: Mapping | None = None
) -> Figure:
    """Draw a figure again.

    Args:
        name: a figure's label, with or without `fig-`, or a module that drew one figure alone.
        folder: where a book's tables lie.
        run: a run folder that the module's `load` makes the table of, instead of the book's table.
        where: further options of `load`, such as scale="M", step=800.

    Raises:
        InputError: no such figure; several of that module; the module needs more than a run; or a
            table that is not what was written.
    """
    known = listing(folder)
    found = known[known["name"].isin([name, f"fig-{name}"])]
    found = found if len(found) else known[known["module"] == name]
    if run is not None:
        module = name if name in modules() else next(iter(found["module"]), None)
        return _from_run(module or name, Run(run), dict(where or {}))
    if len(found) != 1:
        raise InputError(_which(name, folder, known, found))
    path = folder / found["name"].iloc[0]
    return draw(path)


def draw(path: Path) -> Figure:
    """Draw the figure whose table is PATH.csv and whose provenance is PATH.json."""
    about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return _module(about["figure"]).plot(read(path), **about["options"])


def read(path: Path) -> pd.DataFrame:
    """The table of a figure, PATH.csv, with the kinds of columns that PATH.json has."""
    kinds = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["columns"]
    text = {name for name, kind in kinds.items() if kind in ("object", "str", "string")}
    try:
        table = pd.read_csv(
            path.with_suffix(".csv"), keep_default_na=False,
            dtype={name: str if name in text else kind for name, kind in kinds.items()},
            na_values={name: [""] for name in kinds.keys() - text},
        )  # fmt: skip
        return table[list(kinds)]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}.csv: {error}. Build the book or chapter again.") from error


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure; the name's ending says how: .png, .svg or .pdf."""
    path = Path(path)
    if path.suffix not in FORMATS:
        raise InputError(f"--out {path}: the name must end in {', '.join(FORMATS)}")
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], dpi=150, bbox_inches="tight")
    return store.write_atomic(path, content.getvalue())


def _module(name: str):
    return importlib.import_module(f"taskspace_utils.figures.{name}")


def _from_run(name: str, run: Run, where: dict) -> Figure:
    if name not in modules():
        raise InputError(f"no figure {name!r}; there are {', '.join(modules())}")
    module = _module(name)
    first, *others = inspect.signature(module.load).parameters.values()
    empty = inspect.Parameter.empty
    needed = [p.name for p in others if p.default is empty and p.kind is not p.VAR_KEYWORD]
    if first.name != "run" or set(needed) - set(where):
        raise InputError(
            f"figure {name} is made of more than a run ({', '.join([first.name, *needed])}): "
            "draw it from the table of a book, without --run"
        )
    try:
        return module.plot(module.load(run, **where))
    except (TypeError, ValueError) as error:  # several models in one space, an unknown option
        if isinstance(error, InputError):
            raise
        models = run.table("accuracy")[["scale", "seed", "step"]].drop_duplicates()
        raise InputError(
            f"figure {name} cannot be made of {run.folder} with {where or 'nothing named'} "
            f"({error}). Name what it shows, such as -p scale=… -p step=…; the run's models are\n"
            + models.to_string(index=False)
        ) from error


def _which(name: str, folder: Path, known: pd.DataFrame, found: pd.DataFrame) -> str:
    if len(found):
        return f"module {name} drew {_list(found['name'])}: name one of them"
    if known.empty:
        return f"{folder} has no figures: build the book (`taskspaces book`), or name a --run"
    return f"no figure {name!r} in {folder}; there are {_list(known['name'])}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
