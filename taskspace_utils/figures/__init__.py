"""Figures: a module a figure, each with `load(run) -> DataFrame` and `plot(table) -> Figure`.

`load` takes a run folder (`tables.Run`) and returns the table that is drawn; `plot` draws from that
table alone, so a figure can be redrawn without the run. Here is what all figures share: one look,
one colour a phenomenon, one scale of colours for what goes from −1 to 1, a badge where runs could
be taken for one another, and how a figure leaves its table and provenance behind (`drawn`).
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from taskspace_utils import store, tables
from taskspace_utils.likeness import blocks as blocks

# Okabe and Ito's colours, told apart by colour-blind readers; yellow is too pale on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = "osD^vP"
# red: positive, blue: negative, always from −1 to 1 or −v to v; grey: no value
DIVERGING = mpl.colormaps["RdBu_r"].with_extremes(bad="#dddddd")

STYLE = {
    "figure.facecolor": "white",  # a light card also on a dark page
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "legend.frameon": False,
    "svg.hashsalt": "task-spaces",  # the same figure is the same file
}


# A backend is loaded with the first figure. Loaded inside `rc_context`, a notebook's would lose its
# interactive mode again, and later figures would not be shown.
plt.switch_backend(mpl.get_backend())


def new(
    width: float = 6.5, height: float = 4.0, columns: int = 1, rows: int = 1, **options
) -> tuple[Figure, Axes]:
    """A figure in the common look, and its axes; width and height in inches."""
    with mpl.rc_context(STYLE):
        return plt.subplots(rows, columns, figsize=(width, height), **options)


def even(ax: Axes) -> None:
    """Give a map a square box with the same span both ways: distances are alike in any direction.

    Where matplotlib finds the span (`adjustable="datalim"`), it is another at each drawing.
    """
    seen = ax.dataLim
    half = 0.55 * max(seen.width, seen.height)
    for middle, limits in ((seen.x0 + seen.x1, ax.set_xlim), (seen.y0 + seen.y1, ax.set_ylim)):
        limits(middle / 2 - half, middle / 2 + half)
    ax.set_box_aspect(1)


def look(phenomena: pd.Series) -> dict[str, tuple[str, str]]:
    """Colour and marker of each phenomenon: the same in every figure of the same tasks."""
    names = sorted(phenomena.unique())
    return {
        name: (COLOURS[i % len(COLOURS)], MARKERS[i // len(COLOURS)])
        for i, name in enumerate(names)
    }


LONGEST = 44  # letters of a label; longer ones would leave a figure no room


def readable(name: str) -> str:
    """A task's or phenomenon's name as words."""
    return str(name).replace("_", " ")


def label(name: str) -> str:
    """The same for a figure: not too long, and a dollar sign begins no formula."""
    text = readable(name)
    text = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 + 1 :]}"
    return text.replace("$", r"\$")


def beside(
    load: Callable[[tables.Run], pd.DataFrame], live: tables.Run, reference: tables.Run | None
) -> pd.DataFrame:
    """A table of a live run, and under it that of the reference's other seeds.

    Args:
        load: the table of one run, with the column seed.
        reference: None for the live run alone.

    Returns:
        the columns of `load`, and run ("live" or "reference") and profile before them.

    Raises:
        InputError: one run has log-probabilities, the other pseudo-likelihoods.
    """
    tables.same_scoring(live, reference)
    parts = {"live": (live, load(live))}
    if reference is not None:
        other = load(reference)
        parts["reference"] = reference, other[~other["seed"].isin(parts["live"][1]["seed"])]
    found = []
    for name, (run, table) in parts.items():
        about = pd.DataFrame({"run": name, "profile": run.manifest["profile"]}, table.index)
        found.append(pd.concat([about, table], axis=1))
    return pd.concat([part for part in found if len(part)] or found, ignore_index=True)


def over(ax: Axes, table: pd.DataFrame, x: str, y: str, colour: str, **look) -> None:
    """Draw the reference's mean and range over seeds as a band, and live seeds as marked lines.

    Args:
        table: columns run, seed, and those named.
        look: of the live line and its marks.
    """
    look = {"marker": "o", "markersize": 5, "linewidth": 1.5, "mec": "black"} | look
    seeds = table[table["run"] == "reference"].groupby(x)[y].agg(["min", "mean", "max"])
    if len(seeds):
        ax.fill_between(seeds.index, seeds["min"], seeds["max"], color=colour, alpha=0.2, lw=0)
        ax.plot(seeds.index, seeds["mean"], color=colour, linewidth=0.8)
    for _, line in table[table["run"] == "live"].groupby("seed"):
        line = line.sort_values(x)
        ax.plot(line[x], line[y], color=colour, **look)


def points(ax: Axes, table: pd.DataFrame, x: pd.Series, y: pd.Series, colour: str) -> None:
    """Draw a point for each of the reference's seeds, and rings for the live run's."""
    live = table["run"] == "live"
    ax.plot(x[~live], y[~live], "o", color=colour, markersize=4, alpha=0.6, mew=0)
    ax.plot(x[live], y[live], "o", color=colour, markersize=8, mfc="none", mew=1.8)


def legend(fig: Figure, colours: dict[str, str], table: pd.DataFrame, kind: str = "band") -> None:
    """What colours mean, and which is the live run, on the right of a figure.

    Args:
        kind: how the reference is drawn, "band" (see `over`) or "points".
    """
    grey = {"color": "#777777"}
    if kind == "band":
        live = Line2D([], [], marker="o", mec="black", **grey), "your run,\na line a seed"
        other = Patch(alpha=0.4, **grey), "reference: mean\nand range of seeds"
    else:
        live = Line2D([], [], marker="o", mfc="none", mew=1.8, linestyle="", **grey), "your run"
        other = Line2D([], [], marker=".", linestyle="", **grey), "reference,\na point a seed"
    handles = [(Line2D([], [], color=c, linewidth=3), readable(n)) for n, c in colours.items()]
    runs = set(table["run"])
    handles += [some for name, some in (("live", live), ("reference", other)) if name in runs]
    fig.legend(*zip(*handles, strict=True), loc="outside right upper", fontsize=8, frameon=False)


def badge(table: pd.DataFrame) -> str:
    """Which profile, which run and how many seeds a table is of, for the corner of a figure.

    Args:
        table: with the column profile; and run ("live", "reference") and seed, or n_seeds.
    """
    known = [name for name in ("run", "profile") if name in table]
    parts = []
    for names, some in table.groupby(known, sort=False):
        seeds = int(some["n_seeds"].max()) if "n_seeds" in some else some["seed"].nunique()
        what = " run, profile ".join(names) if len(known) > 1 else f"profile {names[0]}"
        parts.append(f"{what}, {seeds} seed{'' if seeds == 1 else 's'}")
    return " · ".join(parts)


def drawn(plot: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a module's `plot` leave its table behind, and put a badge on it if it has a profile.

    Where `TASKSPACES_FIGURES` names a folder, as it does while a chapter is executed, each figure
    leaves two files there: NUMBER.csv, its table, and NUMBER.json: the module and its code's
    version, options, the runs that were read before, the method's version, the execution count of
    the cell, and the kinds of the columns. `redraw` draws it again from these alone.
    """

    @functools.wraps(plot)
    def noting(table: pd.DataFrame, *places, **options) -> Figure:
        figure = plot(table, *places, **options) if len(table) else _empty()
        if "profile" in table and len(table):
            figure.suptitle(badge(table), x=0.01, ha="left", fontsize=7, color="#666666")
        if folder := os.environ.get("TASKSPACES_FIGURES"):
            given = inspect.signature(plot).bind(table, *places, **options).arguments
            _leave(Path(folder), plot.__module__.rpartition(".")[2], table, dict(given))
        return figure

    return noting


def _empty() -> Figure:
    """What stands where a run has nothing to draw, such as no task with a reliable gradient."""
    fig, ax = new(4.5, 1.0)
    ax.text(0.5, 0.5, "this run has nothing to draw here", ha="center", color="#666666")
    ax.set_axis_off()
    return fig


def _leave(folder: Path, module: str, table: pd.DataFrame, given: dict) -> None:
    number = len(list(folder.glob("*.json")))
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    about = {
        "figure": module,
        "code": store.code_version(f"figures/{module}", "figures/__init__", "likeness"),
        "method": store.method_version(),
        "options": {name: value for name, value in given.items() if name != "table"},
        "runs": list(tables.READ.values()),
        # of the cell that runs; IPython's own count is sometimes the next one's already
        "cell": len(shell.user_ns["In"]) - 1 if shell else None,
        "columns": {name: str(kind) for name, kind in table.dtypes.items()},
    }
    tables.write_table(folder / f"{number:03}.csv", table, [])
    store.write_atomic(folder / f"{number:03}.json", json.dumps(about, indent=1) + "\n")
