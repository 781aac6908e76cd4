"""How well gradients predict transfer, along pre-training and over sizes of model."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures


def load(shipped: pd.DataFrame, live: pd.DataFrame, wanted: float) -> pd.DataFrame:
    """Rank correlations of prediction and measurement, a row a scale, step and width.

    Args:
        shipped: columns scale, step, k, value, low, high (`studies.first_order.together`).
        live: the same of the reader's own run.
        wanted: ρ that is asked for.

    Returns:
        those columns, and run ("shipped" or "live") and wanted.
    """
    both = [shipped.assign(run="shipped"), live.assign(run="live")]
    columns = ["run", "scale", "step", "k", "value", "low", "high"]
    return pd.concat(both, ignore_index=True)[columns].assign(wanted=wanted)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel a width k; lines are scales with steps enough, rings are live."""
    widths = sorted(table["k"].unique(), reverse=True)
    fig, axes = figures.new(8.0, 3.6, len(widths), sharey=True, squeeze=False)
    scales = list(table["scale"].value_counts().index)  # the one with most steps stands on them
    for ax, k in zip(axes[0], widths, strict=True):
        for i, scale in enumerate(scales):
            colour = figures.COLOURS[i % len(figures.COLOURS)]
            some = table[(table["k"] == k) & (table["scale"] == scale)].sort_values("step")
            seen = some[some["run"] == "shipped"]
            bars = [seen["value"] - seen["low"], seen["high"] - seen["value"]]
            bars = [bar.clip(lower=0) for bar in bars]  # few draws may miss the mean
            shift = 1 + 0.06 * i  # sizes at one step stand side by side
            ax.errorbar(seen["step"].clip(lower=50) * shift, seen["value"],
                        bars,
                        color=colour, marker=figures.MARKERS[i % len(figures.MARKERS)],
                        capsize=2, linewidth=1.2, markersize=4, label=f"scale {scale}")  # fmt: skip
            own = some[some["run"] == "live"]
            ax.plot(own["step"].clip(lower=50) * shift, own["value"], "o", color=colour,
                    markersize=10, mfc="none", mew=1.5)  # fmt: skip
        ax.axhline(table["wanted"].iloc[0], color="black", linewidth=0.8, linestyle=":")
        steps = sorted(table["step"].unique())
        ax.set(xscale="log", xlabel="step of pre-training", title=f"k = {k:g}")
        ax.set_xticks([max(step, 50) for step in steps], [f"{step:g}" for step in steps])
        ax.minorticks_off()
    axes[0][0].set_ylabel("ρ of predicted and measured")
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center",
               ncols=len(scales), frameon=False)  # fmt: skip
    return fig
