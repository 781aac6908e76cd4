"""How often each test finds what is not there, by the kind of space in which nothing is."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.store import data_path
from taskspace_utils.tables import read_table


def load(live: pd.DataFrame | None = None) -> pd.DataFrame:
    """The published rates, and live ones beside them.

    Args:
        live: `nulls.table` of the reader's own.

    Returns:
        columns of `nulls.table` and source (published or live); labels is "none" where a test has
        none.
    """
    parts = [read_table(data_path("reference", "false_positives.csv")).assign(source="published")]
    if live is not None:
        parts.append(live.assign(source="live"))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(labels=table["labels"].fillna("").replace("", "none"))


@figures.drawn
def plot(table: pd.DataFrame, level: float = 0.05) -> Figure:
    """A row a test, a panel a kind of space; bars are 95 % intervals, hollow is live."""
    spaces = list(dict.fromkeys(table["space"]))[::-1]
    tests = sorted(table["test"].unique(), reverse=True)
    labels = sorted(table["labels"].unique())
    fig, axes = figures.new(9.0, 1.2 + 0.3 * len(tests), len(spaces), sharey=True, squeeze=False)
    for ax, space in zip(axes[0], spaces, strict=True):
        for number, label in enumerate(labels):
            colour, marker = figures.COLOURS[number], figures.MARKERS[number]
            panel = table[(table["space"] == space) & (table["labels"] == label)]
            for source, fill, low in (("published", colour, 0.0), ("live", "white", -0.12)):
                some = panel[panel["source"] == source]
                y = [tests.index(test) + 0.22 * (1 - number) + low for test in some["test"]]
                ax.hlines(y, some["low"], some["high"], color=colour, linewidth=1)
                ax.scatter(some["rate"], y, marker=marker, color=fill, edgecolors=colour, s=22,
                           zorder=3, label=f"labels {label}" if not low else None)  # fmt: skip
        ax.axvline(level, color="black", linewidth=0.8, linestyle=":")
        ax.set(title=f"{space} tasks", xlim=(-0.03, 1.03), xlabel=f"share of p ≤ {level:g}")
    axes[0][0].set_yticks(range(len(tests)), tests, fontsize=8)
    marks, names = axes[0][0].get_legend_handles_labels()
    fig.legend(marks, names, loc="outside upper center", ncols=3, frameon=False)
    return fig
