"""What the differential gains and spares against plain tuning, task by task and seed by seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures, ladder
from taskspace_utils.equal_gain import at_gain
from taskspace_utils.tables import Run

MEASURES = {
    "accuracy": "accuracy at the end,\ndifferential less plain",
    "harm": "log harm ratio at equal rise,\nplain over differential",
}
SMALLEST = {"accuracy": -0.02, "harm": np.log(1.5)}  # effects of interest; data/claims.yml


def load(
    run: Run,
    reference: Run | None = None,
    rung: str = "differential-k0.01",
    plain: str = "good",
    rise: float = 0.1,
    by: str = "accuracy",
    text: str = "held-out",
) -> pd.DataFrame:
    """Two rungs of the ladder compared on each task of each model.

    Args:
        rise: the gain at which harm (KL on `text`) is compared; see `equal_gain.at_gain` for `by`.

    Returns:
        columns run, profile, scale, seed, step, source, measure, value, rung, plain (labels); a
        task that did not rise so far on both rungs has no harm.
    """
    labels = {"rung": ladder.RUNGS[rung].label, "plain": ladder.RUNGS[plain].label}

    def compared(one: Run) -> pd.DataFrame:
        steps = one.table("ladder")
        return _compared(steps[steps["text"] == text], rung, plain, rise, by)

    table = figures.beside(compared, run, reference)
    return table.assign(**labels).dropna(subset="value").reset_index(drop=True)


def _compared(table: pd.DataFrame, rung: str, plain: str, rise: float, by: str) -> pd.DataFrame:
    keys = ["scale", "seed", "step", "source"]
    table = table[table["rung"].isin([rung, plain])].sort_values("tuning_step")
    end = table.groupby([*keys, "rung"])["accuracy"].last().unstack("rung")
    harm = at_gain(table, rise, by).set_index([*keys, "rung"])["harm_kl"].unstack("rung")
    found = {"accuracy": end[rung] - end[plain], "harm": np.log(harm[plain] / harm[rung])}
    return pd.DataFrame(found).melt(var_name="measure", ignore_index=False).reset_index()


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A row a task and one for the seeds' means; dotted: the smallest effect of interest."""
    tasks = [*sorted(table["source"].unique()), "mean"][::-1]
    fig, axes = figures.new(8.0, 0.42 * len(tasks) + 1.3, 2, sharey=True)
    for ax, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        some = table[table["measure"] == measure]
        keys = ["run", "profile", "scale", "seed", "step"]
        means = some.groupby(keys, as_index=False)["value"].mean().assign(source="mean")
        for part, colour in ((some, figures.COLOURS[0]), (means, figures.COLOURS[1])):
            figures.points(ax, part, part["value"], part["source"].map(tasks.index), colour)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.axvline(SMALLEST[measure], color="black", linewidth=0.8, linestyle=":")
        ax.set_xlabel(label, fontsize=9)
        ax.tick_params(axis="x", labelsize=8)
    axes[0].set_yticks(range(len(tasks)), map(figures.readable, tasks), fontsize=8)
    axes[0].set_ylim(-0.6, len(tasks) - 0.4)
    colours = {"a task": figures.COLOURS[0], "mean of tasks": figures.COLOURS[1]}
    figures.legend(fig, colours, table, "points")
    return fig
