"""How sharply tasks are learnt: under accuracy, under margin, and if margins rose smoothly."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

HALF = 0.5  # sharper than this is called sharp


def load(shapes: pd.DataFrame) -> pd.DataFrame:
    """Means over trainings of `emergence.shapes`: columns task, accuracy, margin, smooth."""
    values = ["accuracy", "margin", "smooth"]
    return shapes.groupby("task")[values].mean().reset_index()


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A point a task. Left: against the sharpness of its margin; right: of a smooth rise."""
    fig, axes = figures.new(7.5, 3.8, 2, sharex=True, sharey=True)
    said = ("largest share within one doubling:\nmean margin",
            "largest share within one doubling:\naccuracy, had margins risen smoothly")  # fmt: skip
    top = 1.05 * table[["accuracy", "margin", "smooth"]].to_numpy().max(initial=1.0)
    for ax, x, words in zip(axes, ("margin", "smooth"), said, strict=True):
        ax.plot([0, top], [0, top], color="black", linewidth=0.8)
        ax.axhline(HALF, color="black", linewidth=0.6, linestyle=":")
        ax.axvline(HALF, color="black", linewidth=0.6, linestyle=":")
        ax.plot(table[x], table["accuracy"], "o", color=figures.COLOURS[0], alpha=0.7, mew=0,
                markersize=5)  # fmt: skip
        ax.set(xlabel=words, xlim=(0, top), ylim=(0, top))
    axes[0].set_ylabel("largest share within one doubling:\naccuracy")
    return fig
