"""What each rung of the ladder gains on its own task, and how far it moves other predictions."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures, ladder
from taskspace_utils.tables import Run

# Lessons from good sentences in one colour, differentials in another: the darker, the wider a mask.
LOOKS = {
    "good": ("#D55E00", "-"),
    "continuation": ("#D55E00", "--"),
    "critical": ("#D55E00", ":"),
    "differential": ("#000000", "-"),
    "differential-k0.1": ("#0072B2", "-"),
    "differential-k0.01": ("#0072B2", "--"),
    "differential-k0.001": ("#0072B2", ":"),
    "differential-kl": ("#009E73", "-"),
}


def load(run: Run) -> pd.DataFrame:
    """Every step that was written down, harm as the mean over the neutral texts.

    Returns:
        columns source, rung, label, tuning_step, gain (of the held-out margin, nats), harm_kl and
        harm_loss (nats a token).
    """
    table = run.table("ladder")
    keys = ["model", "source", "rung", "tuning_step"]
    table = table.groupby(keys, as_index=False)[["gain", "harm_kl", "harm_loss"]].mean()
    labels = {name: rung.label for name, rung in ladder.RUNGS.items()}
    return table.assign(label=table["rung"].map(labels))


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel a task, a line a rung; a dot where its tuning ended."""
    tasks = sorted(table["source"].unique())
    columns = min(3, len(tasks))
    rows = -(-len(tasks) // columns)
    fig, axes = figures.new(
        7.4, 2.2 * rows + 1.2, columns=columns, rows=rows, squeeze=False, sharex=True, sharey=True
    )
    moved = table[table["tuning_step"] > 0]  # before, the divergence is 0, which has no logarithm
    for ax, task in zip(axes.flat, tasks, strict=False):
        some = moved[moved["source"] == task]
        for rung, (colour, style) in LOOKS.items():
            for _, line in some[some["rung"] == rung].groupby("model"):
                line = line.sort_values("tuning_step")
                ax.plot(line["gain"], line["harm_kl"], style, color=colour, linewidth=1.4)
                ax.plot(line["gain"].iloc[-1:], line["harm_kl"].iloc[-1:], ".", color=colour)
        ax.set_title(figures.readable(task), fontsize=9)
        ax.set_yscale("log")
    for ax in list(axes.flat)[len(tasks) :]:
        ax.set_visible(False)
    fig.supxlabel("gain of the own margin on held-out pairs (nats)", fontsize=10)
    fig.supylabel("KL from the model before (nats a token)", fontsize=10)
    labels = moved.drop_duplicates("rung").set_index("rung")["label"]
    shown = [rung for rung in LOOKS if rung in labels]
    handles = [axes[0, 0].plot([], [], LOOKS[r][1], color=LOOKS[r][0])[0] for r in shown]
    fig.legend(handles, [labels[r] for r in shown], loc="outside upper center", ncols=3,
               fontsize=8, frameon=False)  # fmt: skip
    return fig
