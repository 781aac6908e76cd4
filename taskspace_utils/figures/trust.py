"""How well a source's row is predicted, against how far its lesson is expected to move weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

BINS = 8


def load(sources: pd.DataFrame, chosen_on: pd.Series, limit: float) -> pd.DataFrame:
    """A row a source and model.

    Args:
        sources: columns scale, seed, step, k, source, expected, rho; see
            `studies.first_order.by_source`.
        chosen_on: which of the rows the limit was chosen on.
        limit: expected displacement up to which predictions are trusted.

    Returns:
        columns scale, seed, step, k, source, expected, rho, limit, and used ("chosen on" or "held
        out").
    """
    table = sources[["scale", "seed", "step", "k", "source", "expected", "rho"]]
    used = np.where(chosen_on, "chosen on", "held out")
    return table.assign(limit=limit, used=used).dropna().reset_index(drop=True)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Points are sources, with medians of equal parts of them; the limit is the upright line."""
    fig, ax = figures.new(6.4, 4.0)
    for i, (used, some) in enumerate(table.groupby("used")):
        colour = figures.COLOURS[i]
        ax.plot(some["expected"], some["rho"], ".", color=colour, markersize=3, alpha=0.35, mew=0)
        ordered, edges = (
            some.sort_values("expected"),
            np.linspace(0, len(some), BINS + 1).astype(int),
        )
        parts = [ordered[a:b] for a, b in pairwise(edges) if b > a]
        ax.plot([p["expected"].median() for p in parts], [p["rho"].median() for p in parts],
                color=colour, marker=figures.MARKERS[i], linewidth=1.5,
                label=f"{used}: medians of equal parts")  # fmt: skip
    if table["limit"].iloc[0] > 0:
        ax.axvline(table["limit"].iloc[0], color="black", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", ylim=(-1, 1.02), ylabel="ρ over the targets of a source",
           xlabel="expected displacement, share of the weights' norm")  # fmt: skip
    ax.legend(loc="lower left")
    return fig
