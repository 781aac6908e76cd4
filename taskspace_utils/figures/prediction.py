"""Transfer as the gradients predict it to first order, against transfer as it was measured."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.figures.space import only
from taskspace_utils.gradients import predicted_transfer
from taskspace_utils.tables import Run


def load(run: Run, tuning: str, **where) -> pd.DataFrame:
    """Predicted and measured changes of margins between different tasks.

    Args:
        tuning: which tuning, a name in `configs.csv`.
        where: which model, such as scale="M", step=800.

    Returns:
        columns source, target, predicted, real, residual (nats), same (phenomenon), flag.
    """
    transfer = only(run.table("transfer"), {**where, "tuning": tuning})
    real = transfer.assign(real=transfer["margin_after"] - transfer["margin_before"])
    own = real[real["source"] == real["target"]].set_index("source")["real"]
    k = only(run.table("configs"), {"tuning": tuning})["k"].iloc[0]
    gradient = only(run.table("gradient"), where)
    predicted = predicted_transfer(gradient, own, masked=k < 1)
    both = real.merge(predicted, on=["source", "target"])
    both = both[both["source"] != both["target"]]
    phenomenon = run.table("tasks").drop_duplicates("task").set_index("task")["phenomenon"]
    same = both["source"].map(phenomenon) == both["target"].map(phenomenon)
    both = both.assign(residual=both["real"] - both["predicted"], same=same)
    columns = ["source", "target", "predicted", "real", "residual", "same", "flag"]
    return both[columns].reset_index(drop=True)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A point a pair of tasks; on the line, the prediction is right."""
    fig, ax = figures.new(5.6, 4.6)
    for same, label in ((False, "different phenomena"), (True, "same phenomenon")):
        some = table[table["same"] == same]
        ax.plot(some["predicted"], some["real"], "Ds"[same], color=figures.COLOURS[1 - same],
                markersize=3.5, markeredgewidth=0, alpha=0.6, label=label)  # fmt: skip
    ends = [table["real"].min(), table["real"].max()]
    ax.plot(ends, ends, color="black", linewidth=0.8)
    # a few predictions may lie far outside
    left, right = 1.5 * min(0, ends[0]), 1.5 * max(0, ends[1])
    beyond = (~table["predicted"].between(left, right) & table["predicted"].notna()).sum()
    ax.annotate(f"{beyond} points beyond the sides" if beyond else "", (0.02, 0.97),
                xycoords="axes fraction", fontsize=8, va="top")  # fmt: skip
    ax.set_xlim(left, right)
    ax.axhline(0, color="black", linewidth=0.4)
    ax.axvline(0, color="black", linewidth=0.4)
    ax.set(xlabel="predicted by the gradients (nats)", ylabel="measured after tuning (nats)")
    fig.legend(loc="outside upper center", ncols=2, frameon=False)
    return fig
