"""What one tuning did to every task: the change of each task's margin, with its uncertainty."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from taskspace_utils import figures


def load(row: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The changes of one row of a transfer space, smallest first.

    Args:
        row: rows of `transfer.csv` of one model, tuning and source.
        pairs: a table of pairs that says which phenomenon a task belongs to.

    Returns:
        columns source, target, change (nats), se (its standard error), phenomenon.
    """
    phenomenon = pairs.drop_duplicates("task").set_index("task")["phenomenon"]
    table = pd.DataFrame(
        {
            "source": row["source"],
            "target": row["target"],
            "change": row["margin_after"] - row["margin_before"],
            "se": row["margin_se"],
            "phenomenon": row["target"].map(phenomenon),
        }
    )
    return table.sort_values("change", ignore_index=True)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A point a task, with two standard errors to each side; the taught task has a ring."""
    looks = figures.look(table["phenomenon"])
    fig, ax = figures.new(6.8, 0.17 * len(table) + 1.6)
    for place, row in table.iterrows():
        colour, marker = looks[row["phenomenon"]]
        ax.errorbar(row["change"], place, xerr=2 * row["se"], color=colour, marker=marker,
                    markersize=5, linewidth=1)  # fmt: skip
        if row["target"] == row["source"]:
            ax.plot(row["change"], place, "o", markersize=12, mfc="none", color="black")
    ax.axvline(0, color="black", linewidth=0.8)
    labels = [figures.readable(name) for name in table["target"]]
    ax.set_yticks(range(len(table)), labels, fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel="change of the margin (nats)", ylim=(-1, len(table)))
    handles = [
        Line2D([], [], color=c, marker=m, linestyle="", label=figures.readable(name))
        for name, (c, m) in looks.items()
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return fig
