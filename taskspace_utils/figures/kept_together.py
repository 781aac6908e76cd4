"""Reliability with a pair and its opposite in one half, against each pair for itself."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

KEYS = ["scale", "seed", "step", "task"]
KINDS = ["other tasks", "go both ways"]


def load(alone: pd.DataFrame, together: pd.DataFrame, both_ways: Collection[str]) -> pd.DataFrame:
    """A row a task and model that both have.

    Args:
        alone, together: columns scale, seed, step, task, reliability.
        both_ways: tasks most of whose pairs have an opposite; see `sample_size.torn`.

    Returns:
        columns scale, seed, step, task, kind (of `KINDS`), alone and together.
    """
    parts = [some[[*KEYS, "reliability"]] for some in (alone, together)]
    table = parts[0].merge(parts[1], on=KEYS, suffixes=("_alone", "_together"))
    table = table.rename(columns=lambda name: name.removeprefix("reliability_"))
    kind = np.where(table["task"].isin(list(both_ways)), KINDS[1], KINDS[0])
    table.insert(len(KEYS), "kind", kind)
    return table.dropna(ignore_index=True)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel a step; on the diagonal it makes no difference where a pair's opposite is."""
    steps = sorted(table["step"].unique())
    fig, axes = figures.new(2.4 * len(steps) + 0.4, 2.9, columns=len(steps), sharey=True,
                            squeeze=False)  # fmt: skip
    low = min(0, table[["alone", "together"]].min().min()) - 0.05
    for ax, step in zip(axes[0], steps, strict=True):
        some = table[table["step"] == step]
        ax.plot([low, 1], [low, 1], color="black", linewidth=0.8, linestyle=":")
        for i, (kind, points) in enumerate(some.groupby("kind")):
            ax.plot(points["alone"], points["together"], figures.MARKERS[i], markersize=3.5,
                    color=figures.COLOURS[i], alpha=0.5, mew=0, label=kind)  # fmt: skip
        ax.set(title=f"step {step}", xlim=(low, 1.02), ylim=(low, 1.02))
        ax.set_box_aspect(1)
    axes[0][0].set_ylabel("reliability, couples together")
    fig.supxlabel("reliability, each pair for itself", fontsize=10)
    axes[0][-1].legend(loc="lower right", markerscale=1.6)
    return fig
