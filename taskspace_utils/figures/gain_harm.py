"""What the rungs of the ladder gain on their own task, and what they cost on neutral text."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures, ladder
from taskspace_utils.store import Run

LINES = ("-", "--", ":", "-.")
HARMS = {"harm_kl": "KL from the model before", "harm_loss": "rise of the loss"}


def load(run: Run) -> pd.DataFrame:
    """Every step that was written down: the rows of `ladder.csv`, rungs with their labels.

    Returns:
        columns source, rung, label, tuning_step, text, gain (of the held-out margin, nats),
        harm_kl and harm_loss (nats a token), flag.
    """
    table = run.table("ladder")
    labels = {name: rung.label for name, rung in ladder.RUNGS.items()}
    columns = ["source", "rung", "tuning_step", "text", "gain", "harm_kl", "harm_loss", "flag"]
    return table[columns].assign(label=table["rung"].map(labels))


def plot(table: pd.DataFrame) -> Figure:
    """Harm against gain: a row a harm, a column a text; a thin line a task, coloured by rung."""
    texts = sorted(table["text"].unique())
    fig, axes = figures.new(7.4, 6.0, columns=len(texts), rows=2, squeeze=False, sharex=True)
    rungs = [rung for rung in ladder.RUNGS if rung in set(table["rung"])]
    for (row, harm), (column, text) in ((a, b) for a in enumerate(HARMS) for b in enumerate(texts)):
        ax, some = axes[row, column], table[table["text"] == text]
        for number, rung in enumerate(rungs):
            colour, style = _look(number)
            for _, line in some[some["rung"] == rung].groupby("source"):
                line = line.sort_values("tuning_step")
                label = line["label"].iloc[0]
                ax.plot(line["gain"], line[harm], style, color=colour, linewidth=1, label=label)
                ax.plot(line["gain"].iloc[-1:], line[harm].iloc[-1:], ".", color=colour)
        if harm == "harm_kl":
            ax.set_yscale("log")
            ax.set_title(f"text: {text}")
        else:
            ax.set_yscale("symlog", linthresh=0.01)
            ax.axhline(0, color="black", linewidth=0.6)
        if not column:
            ax.set_ylabel(f"{HARMS[harm]} (nats a token)")
    fig.supxlabel("gain of the own margin on held-out pairs (nats)", fontsize=10)
    named = dict(zip(*axes[0, 0].get_legend_handles_labels()[::-1], strict=True))
    fig.legend(named.values(), named, loc="outside upper center", ncols=2, fontsize=8)
    return fig


def _look(number: int) -> tuple[str, str]:
    """Colour and line of a rung; a colour comes again only with another line."""
    return figures.COLOURS[number % 7], LINES[number // 7]
