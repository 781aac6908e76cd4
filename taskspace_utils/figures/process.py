"""Similarity probing as a process: margins before, a tuning on one task, margins after."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures


def load(row: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """One row of a transfer space, as margins before and after.

    Args:
        row: rows of `transfer.csv` of one model, tuning and source.
        pairs: a table of pairs that says which phenomenon a task belongs to.

    Returns:
        columns source, target, before, after (nats), phenomenon.
    """
    phenomenon = pairs.drop_duplicates("task").set_index("task")["phenomenon"]
    return pd.DataFrame(
        {
            "source": row["source"].to_numpy(),
            "target": row["target"].to_numpy(),
            "before": row["margin_before"].to_numpy(),
            "after": row["margin_after"].to_numpy(),
            "phenomenon": row["target"].map(phenomenon).to_numpy(),
        }
    )


@figures.drawn
def plot(table: pd.DataFrame, named: int = 4) -> Figure:
    """A line a task from evaluation 1 to evaluation 2; the tuned one is thick.

    Args:
        named: how many others, those that moved most, have their names beside them.
    """
    looks = figures.look(table["phenomenon"])
    source = table["source"].iloc[0]
    own = (table["target"] == source).to_numpy()
    moved = (table["after"] - table["before"]).abs().where(~own)
    shown = table[own | (moved.rank(ascending=False) <= named)].sort_values("after")
    fig, ax = figures.new(7.0, 4.6)
    for _, row in table.iterrows():
        colour, marker = looks[row["phenomenon"]]
        tuned = row["target"] == source
        ax.plot([0, 1], [row["before"], row["after"]], color=colour, marker=marker,
                markersize=7 if tuned else 4, linewidth=3 if tuned else 0.9)  # fmt: skip
    gap = 0.05 * np.ptp(table[["before", "after"]].to_numpy())
    for place, (_, row) in zip(
        _apart(shown["after"].to_numpy(), gap), shown.iterrows(), strict=True
    ):
        ax.annotate(figures.readable(row["target"]), (1.01, row["after"]), (1.08, place),
                    fontsize=9, va="center", arrowprops={"arrowstyle": "-", "linewidth": 0.4},
                    weight="bold" if row["target"] == source else "normal")  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
    ax.annotate(f"tune on\n{figures.readable(source)}", (0.5, 1.02), xycoords="axes fraction",
                ha="center", weight="bold")  # fmt: skip
    ax.set_xticks([0, 1], ["evaluation 1\n(before)", "evaluation 2\n(after)"])
    ax.set(xlim=(-0.1, 1.04), ylabel="margin on held-out pairs (nats)")
    return fig


def _apart(values: np.ndarray, gap: float) -> np.ndarray:
    """Ascending values moved as little as need be so that neighbours are `gap` apart."""
    steps = gap * np.arange(len(values))
    up = np.maximum.accumulate(values - steps) + steps
    down = np.minimum.accumulate((values - steps)[::-1])[::-1] + steps
    return (up + down) / 2
