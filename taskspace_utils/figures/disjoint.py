"""Cosines of tasks when both sides draw from all words, and when they share no content word."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

KINDS = ["unrelated", "same rule", "own"]  # in the order in which they are drawn


def load(shared: pd.DataFrame, apart: pd.DataFrame, kinds: pd.DataFrame) -> pd.DataFrame:
    """One row a cell on or above the diagonal.

    Args:
        shared: a symmetric space, from pairs of all words.
        apart: the same tasks, each comparison between the two halves of the words.
        kinds: how each two tasks are related; kinds that are not in `KINDS` are left out.

    Returns:
        columns a, b, kind, shared, apart.
    """
    names = shared.index
    rows = [
        (a, b, kinds.loc[a, b], shared.loc[a, b], apart.loc[a, b])
        for i, a in enumerate(names)
        for b in names[i:]
    ]
    table = pd.DataFrame(rows, columns=["a", "b", "kind", "shared", "apart"])
    return table[table["kind"].isin(KINDS)].dropna().reset_index(drop=True)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A point a cell; on the line, words make no difference."""
    fig, ax = figures.new(5.0, 4.4)
    looks = [("#999999", "o", 10), (figures.COLOURS[0], "s", 22), (figures.COLOURS[1], "D", 22)]
    for kind, (colour, marker, size) in zip(KINDS, looks, strict=True):
        some = table[table["kind"] == kind]
        ax.scatter(some["shared"], some["apart"], c=colour, marker=marker, s=size, alpha=0.7,
                   linewidths=0, label=f"{kind} ({len(some)})")  # fmt: skip
    ends = [table[["shared", "apart"]].min().min(), table[["shared", "apart"]].max().max()]
    ax.plot(ends, ends, color="black", linewidth=0.8)
    ax.axhline(0, color="black", linewidth=0.4, linestyle=":")
    ax.axvline(0, color="black", linewidth=0.4, linestyle=":")
    ax.set(xlabel="cosine, all words on both sides", ylabel="cosine, no content word on both")
    ax.legend(loc="upper left", fontsize=8)
    return fig
