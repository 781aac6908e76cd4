"""What is lost when a task's weights go back to step 0, beside random weights."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

COLUMNS = ["source", "weights", "kind", "lost"]
KINDS = ["own", "same rule", "unrelated", "text"]


def load(rows: list[tuple]) -> pd.DataFrame:
    """What a chapter found.

    Args:
        rows: the task whose weights were put back (or in whose tensors random ones were drawn),
            which weights ("its top" or "random"), how the tasks that were watched are related to it
            ("text" is the neutral text), and how much was lost on average: margin, or, of the text,
            the rise of the loss a token; nats.

    Returns:
        columns source, weights, kind, lost.
    """
    return pd.DataFrame(rows, columns=COLUMNS)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A point a lesion, with the mean as a bar; left the tasks, right the text."""
    fig, (left, right) = figures.new(7.2, 3.4, 2, width_ratios=[3, 1])
    groups = list(table.groupby("weights", sort=True))
    for number, (weights, some) in enumerate(groups):
        colour, marker = figures.COLOURS[number], figures.MARKERS[number]
        for ax, kinds in ((left, KINDS[:3]), (right, KINDS[3:])):
            for place, kind in enumerate(kinds):
                lost = some.loc[some["kind"] == kind, "lost"]
                x = place + 0.2 * (number - (len(groups) - 1) / 2)
                jitter = [x + 0.02 * (i % 5 - 2) for i in range(len(lost))]
                name = weights if place == 0 else None
                ax.plot(jitter, lost, marker, color=colour, markersize=4, alpha=0.6, label=name)
                if len(lost):
                    ax.hlines(lost.mean(), x - 0.08, x + 0.08, color=colour, linewidth=2.5)
            ax.set_xticks(range(len(kinds)), kinds)
            ax.set_xlim(-0.6, len(kinds) - 0.4)
            ax.axhline(0, color="black", linewidth=0.5, linestyle=":")
    left.set_ylabel("margin lost (nats)")
    right.set_ylabel("loss gained (nats a token)")
    left.legend(title="weights put back", fontsize=8)
    return fig
