"""Shams against their partners: the similarity of each pair of tasks over what words explain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.spaces import symmetric

KINDS = ["different phenomena", "same phenomenon", "sham and its partner"]


def load(space: pd.DataFrame, lexical: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """One row an unordered pair of tasks, without pairs of a sham and a task it doesn't imitate.

    Args:
        space: similarities, for instance corrected cosines.
        lexical: `lexical_diff` as a space.
        tasks: columns task, phenomenon, sham_of.

    Returns:
        columns a, b, similarity, lexical_diff, kind, expected (a line through the pairs of
        different phenomena; NaN where words tell none of those apart), excess (similarity −
        expected), share_below (of those pairs' excess).
    """
    space, facts = symmetric(space), tasks.set_index("task")
    upper = np.triu_indices(len(space), 1)
    a, b = space.index[upper[0]], space.index[upper[1]]
    table = pd.DataFrame({"a": a, "b": b, "similarity": space.to_numpy()[upper]})
    table["lexical_diff"] = lexical.loc[space.index, space.index].to_numpy()[upper]
    sham = facts["sham_of"].replace("", None)
    partner = (sham.loc[a].to_numpy() == b) | (sham.loc[b].to_numpy() == a)
    same = facts["phenomenon"].loc[a].to_numpy() == facts["phenomenon"].loc[b].to_numpy()
    table["kind"] = np.where(partner, KINDS[2], np.where(same, KINDS[1], KINDS[0]))
    any_sham = sham.loc[a].notna().to_numpy() | sham.loc[b].notna().to_numpy()
    table = table[partner | ~any_sham].dropna(subset="similarity").reset_index(drop=True)
    others = table[table["kind"] == KINDS[0]]
    varies = others["lexical_diff"].nunique() > 1
    line = np.polyfit(others["lexical_diff"], others["similarity"], 1) if varies else [np.nan]
    table["expected"] = np.polyval(line, table["lexical_diff"])
    table["excess"] = table["similarity"] - table["expected"]
    below = np.sort(table.loc[others.index, "excess"])
    table["share_below"] = np.searchsorted(below, table["excess"]) / len(below)
    return table


def plot(table: pd.DataFrame) -> Figure:
    """Similarity over `lexical_diff`, with the line that words alone predict."""
    fig, ax = figures.new(6.5, 4.2)
    looks = [("#999999", "o", 12), (figures.COLOURS[0], "s", 18), (figures.COLOURS[1], "D", 55)]
    for kind, (colour, marker, size) in zip(KINDS, looks, strict=True):
        some = table[table["kind"] == kind]
        ax.scatter(some["lexical_diff"], some["similarity"], c=colour, marker=marker, s=size,
                   alpha=0.8, label=f"{kind} ({len(some)})")  # fmt: skip
    line = table.sort_values("lexical_diff")
    ax.plot(line["lexical_diff"], line["expected"], color="black", linewidth=1)
    ax.axhline(0, color="black", linewidth=0.5, linestyle=":")
    ax.set(xlabel="lexical difference (cosine of bags)", ylabel="similarity of gradients")
    ax.legend(loc="upper left", fontsize=8)
    return fig
