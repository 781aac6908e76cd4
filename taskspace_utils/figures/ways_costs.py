"""What ways of tuning cost beside the differential, at one held-out gain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.studies.ways_compared import DRAWS, ratios, together

VALUES = {"spread": "change of other tasks", "harm_kl": "divergence on neutral text"}


def load(costs: pd.DataFrame, labels: dict[str, str], draws: int = DRAWS) -> pd.DataFrame:
    """How many times as much as the differential a way costs, a row a way, seed and task.

    Args:
        costs: rows of `ways_compared.costs`.
        labels: what each way is called; their order is that of the rows.

    Returns:
        columns value, way, label, seed, source, ratio, and mean, low and high of its way.
    """
    found = []
    for value in VALUES:
        rows = ratios(costs, value)
        for way, label in labels.items():
            some = rows[rows["rung"] == way]
            if way == "differential" or some.empty:
                continue
            mean, low, high = np.exp(together(some, draws)[["value", "low", "high"]].astype(float))
            found.append(some.assign(value=value, way=way, label=label, mean=mean, low=low,
                                     high=high, ratio=np.exp(some["log_ratio"])))  # fmt: skip
    columns = ["value", "way", "label", "seed", "source", "ratio", "mean", "low", "high"]
    return (
        pd.concat(found)[columns].reset_index(drop=True) if found else pd.DataFrame(columns=columns)
    )


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A row a way, a small point a task in a model, and the mean with its interval."""
    fig, axes = figures.new(7.4, 3.8, columns=2, sharey=True)
    ways = list(dict.fromkeys(table["way"]))
    for ax, (value, name) in zip(axes, VALUES.items(), strict=True):
        for place, way in enumerate(ways):
            some = table[(table["value"] == value) & (table["way"] == way)]
            if some.empty:
                continue
            ax.plot(some["ratio"], np.full(len(some), place), ".", color=figures.COLOURS[0],
                    markersize=4, alpha=0.45)  # fmt: skip
            row = some.iloc[0]
            ax.plot([row["low"], row["high"]], [place, place], color="black", linewidth=1.6)
            ax.plot(row["mean"], place, "o", color="black", markersize=5)
        ax.axvline(1, color="black", linewidth=0.6, linestyle=":")
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlabel(f"{name},\ntimes that of the differential", fontsize=9)
    labels = table.drop_duplicates("way").set_index("way")["label"]
    axes[0].set_yticks(range(len(ways)), [labels[way] for way in ways], fontsize=8)
    axes[0].invert_yaxis()
    return fig
