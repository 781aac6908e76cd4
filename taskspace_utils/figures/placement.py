"""Tasks of one's own among others: their nearest tasks, with intervals from redrawn pairs."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.placement import placed
from taskspace_utils.tables import Run


def load(run: Run, most: int = 6, **where) -> pd.DataFrame:
    """The nearest tasks of each placed task.

    Args:
        most: how many of each.
        where: which model, such as step=800.

    Returns:
        columns a, b, corrected, corrected_low, corrected_high, expected (by words), own (is b a
        placed task too).
    """
    table = placed(run, **where).dropna(subset="corrected").groupby("a").head(most)
    columns = ["a", "b", "corrected", "corrected_low", "corrected_high", "expected", "own"]
    return table[columns].reset_index(drop=True)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Corrected cosines as points with intervals; a cross where words alone would put them."""
    tasks = list(dict.fromkeys(table["a"]))
    fig, axes = figures.new(
        6.8, 0.5 + 0.27 * (len(table) + 2 * len(tasks)), rows=len(tasks), squeeze=False,
        sharex=True, gridspec_kw={"height_ratios": [(table["a"] == t).sum() + 1 for t in tasks]},
    )  # fmt: skip
    for ax, task in zip(axes[:, 0], tasks, strict=True):
        some = table[table["a"] == task].iloc[::-1].reset_index(drop=True)
        ax.hlines(some.index, some["corrected_low"], some["corrected_high"],
                  color=figures.COLOURS[0], linewidth=1.5)  # fmt: skip
        ax.plot(some["corrected"], some.index, "o", color=figures.COLOURS[0], label="measured")
        ax.plot(some["expected"], some.index, "x", color=figures.COLOURS[1], label="by words")
        names = [figures.label(b) + (" (own)" if own else "")
                 for b, own in zip(some["b"], some["own"], strict=True)]  # fmt: skip
        ax.set_yticks(some.index, names, fontsize=8)
        ax.set_ylim(-0.7, len(some) - 0.3)
        ax.axvline(0, color="black", linewidth=0.5, linestyle=":")
        ax.set_title(figures.label(task), loc="left", fontsize=9)
    axes[-1, 0].set_xlabel("corrected cosine")
    axes[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8)
    return fig
