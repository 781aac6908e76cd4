"""What a tuning gains on its own task, and what it costs on neutral text."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures


def load(results: Iterable[tuple[pd.DataFrame, dict, pd.DataFrame]]) -> pd.DataFrame:
    """Gain and harm of several tunings.

    Args:
        results: what `probing.transfer_row` returned for each, with neutral texts.

    Returns:
        columns method, source, gain_train and gain (the rise of the own margin on train and on
        eval pairs, nats), harm_kl and harm_loss (nats a token, mean over the neutral texts),
        displacement, steps, reached.
    """
    rows = []
    for row, summary, harm in results:
        loss, k, _ = summary["tuning"].rsplit("-", 2)
        share = float(k[1:])
        kind = "plain tuning" if loss == "good" else "FTGD"
        own = row[row["target"] == row["source"]].iloc[0]
        rows.append(
            {
                "method": f"{kind}, {'no mask' if share == 1 else f'top {share:.0%}'}",
                "source": summary["source"],
                "gain_train": summary["own_gain"],
                "gain": own["margin_after"] - own["margin_before"],
                **harm[["harm_kl", "harm_loss"]].mean(),
                **{name: summary[name] for name in ("displacement", "steps", "reached")},
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def plot(table: pd.DataFrame) -> Figure:
    """Harm against gain, a line a task and method; a hollow point did not reach its target."""
    fig, axes = figures.new(7.4, 3.6, columns=2)
    for number, (method, some) in enumerate(table.groupby("method")):
        colour, marker = figures.COLOURS[number], figures.MARKERS[number]
        for ax, harm in zip(axes, ("harm_kl", "harm_loss"), strict=True):
            for _, line in some.groupby("source"):
                ax.plot(line["gain"], line[harm], color=colour, linewidth=0.8, alpha=0.5)
            missed = some[some["reached"] == 0]
            ax.plot(some["gain"], some[harm], marker, color=colour, markersize=5, label=method)
            ax.plot(missed["gain"], missed[harm], marker, color=colour, markersize=5, mfc="white")
    axes[0].set(yscale="log", ylabel="KL from the model before (nats a token)")
    axes[1].set_yscale("symlog", linthresh=0.01)
    axes[1].set_ylabel("rise of the loss (nats a token)")
    axes[1].axhline(0, color="black", linewidth=0.6)
    fig.supxlabel("gain of the own margin on held-out pairs (nats)", fontsize=10)
    fig.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False
    )
    return fig
