"""A tuning watched step by step: what every task's margin does while one task is taught."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from taskspace_utils import figures


def load(steps: list[tuple[float, pd.Series]], source: str, pairs: pd.DataFrame) -> pd.DataFrame:
    """The changes of all tasks' margins, step by step.

    Args:
        steps: the gain of the train margin (nats) and every task's mean margin after each step, the
            first before any.
        pairs: a table of pairs that says which phenomenon a task belongs to.

    Returns:
        columns gain_train, task, change (nats), kind: "taught", "same phenomenon", "other" or
        "sham".
    """
    first = steps[0][1]
    table = pd.concat(
        [(margin - first).rename("change").rename_axis("task").reset_index().assign(gain_train=gain)
         for gain, margin in steps], ignore_index=True,
    )  # fmt: skip
    phenomenon = pairs.drop_duplicates("task").set_index("task")["phenomenon"]
    of = table["task"].map(phenomenon)
    kind = of.eq(phenomenon[source]).map({True: "same phenomenon", False: "other"})
    kind = kind.where(of != "preference_sham", "sham").where(table["task"] != source, "taught")
    return table[["gain_train", "task", "change"]].assign(kind=kind)


LINES = {
    "other": ("#999999", "-", 0.7),
    "sham": ("#56B4E9", ":", 0.9),
    "same phenomenon": ("#D55E00", "-", 1.3),
    "taught": ("#000000", "-", 2.5),
}


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A line a task: the change of its margin against the gain of the taught one."""
    fig, ax = figures.new(6.8, 4.2)
    for kind, (colour, style, width) in LINES.items():
        for _, line in table[table["kind"] == kind].groupby("task"):
            ax.plot(line["gain_train"], line["change"], style, color=colour, linewidth=width)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(xlabel="gain of the taught task's train margin (nats)",
           ylabel="change of a held-out margin (nats)")  # fmt: skip
    shown = [kind for kind in reversed(LINES) if kind in set(table["kind"])]
    handles = [Line2D([], [], color=LINES[k][0], linestyle=LINES[k][1], linewidth=LINES[k][2])
               for k in shown]  # fmt: skip
    fig.legend(handles, shown, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    return fig
