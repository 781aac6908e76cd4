"""Figures: a module a figure, each with `load(run) -> DataFrame` and `plot(table) -> Figure`.

`load` takes a run folder (`tables.Run`) and returns the table that is drawn; `plot` draws from that
table alone, so a figure can be redrawn without the run. Here is what all figures share: one look,
one colour a phenomenon, one scale of colours for what goes from −1 to 1.
"""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers; yellow is too pale on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = "osD^vP"
DIVERGING = "RdBu_r"  # red: positive, blue: negative, always from −1 to 1 or −v to v

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


def look(phenomena: pd.Series) -> dict[str, tuple[str, str]]:
    """Colour and marker of each phenomenon: the same in every figure of the same tasks."""
    names = sorted(phenomena.unique())
    return {
        name: (COLOURS[i % len(COLOURS)], MARKERS[i // len(COLOURS)])
        for i, name in enumerate(names)
    }


def readable(name: str) -> str:
    """A task's or phenomenon's name as words."""
    return str(name).replace("_", " ")
