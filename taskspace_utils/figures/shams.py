"""Shams against their partners: the similarity of each pair of tasks over what words explain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.spaces import symmetric

KINDS = ["different phenomena", "same phenomenon", "sham and its partner"]


def load(
    space: pd.DataFrame,
    lexical: pd.DataFrame,
    tasks: pd.DataFrame,
    frames: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row an unordered pair of tasks, without pairs of a sham and a task it doesn't imitate.

    Args:
        space: similarities, for instance corrected cosines.
        lexical: `lexical_diff` as a space.
        tasks: columns task, phenomenon, sham_of.
        frames: 1 where two tasks have the same frame, else 0; it helps to explain similarity, and
            pairs are then ranked among pairs that share the frame, or don't, as they do.

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
    table["frame"] = 0.0
    if frames is not None:
        table["frame"] = [frames.loc[a, b] for a, b in zip(table["a"], table["b"], strict=True)]
    table[["expected", "excess", "share_below"]] = np.nan
    for _, some in table.groupby("frame"):
        others = some[some["kind"] == KINDS[0]]
        varies = others["lexical_diff"].nunique() > 1
        line = np.polyfit(others["lexical_diff"], others["similarity"], 1) if varies else [np.nan]
        expected = np.polyval(line, some["lexical_diff"])
        excess = some["similarity"] - expected
        below = np.sort(excess[others.index])
        share = np.searchsorted(below, excess) / max(1, len(below))
        table.loc[some.index, "expected"] = expected
        table.loc[some.index, "excess"] = excess
        table.loc[some.index, "share_below"] = np.where(excess.notna(), share, np.nan)
    return table


@figures.drawn
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
