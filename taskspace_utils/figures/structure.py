"""What phenomena explain beyond words, at one step, by scale: all tasks and order-only ones."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.figures.hypothesis_fit import slopes_of, spaces_of
from taskspace_utils.tables import Run

ORDER_ONLY = 0.60  # bag accuracy at most
LOOKS = {"all tasks": "#0072B2", "order-only": "#D55E00"}


def load(
    run: Run, reference: Run | None = None, value: str = "cosine_corrected", step: int | None = None
) -> pd.DataFrame:
    """The slope of phenomenon beside frame and lexical_diff, of gradient and transfer spaces.

    Args:
        value: the column of `gradient.csv` that stands for likeness of gradients.
        step: one at which transfer was measured; the live run's last such step by default.

    Returns:
        columns run, profile, scale, seed, step, space, tasks (all tasks, order-only), value, n.
    """
    step = int(run.table("transfer")["step"].max()) if step is None else step
    table = figures.beside(lambda one: _slopes(one, value, step), run, reference)
    return table.dropna(subset="value").reset_index(drop=True)


def _slopes(run: Run, value: str, step: int) -> pd.DataFrame:
    bags = run.table("tasks").drop_duplicates("task").set_index("task")["bag_accuracy"]
    rows = []
    for name, column in (("gradient", value), ("transfer", "transfer")):
        for (scale, seed, at), space in spaces_of(run, column):
            if at != step:
                continue
            few = [task for task in space.index if bags[task] <= ORDER_ONLY]
            for tasks, some in (("all tasks", space), ("order-only", space.loc[few, few])):
                found = slopes_of(run, some).set_index("hypothesis").loc["phenomenon"]
                rows.append((scale, seed, step, name, tasks, found["value"], int(found["n"])))
    columns = ["scale", "seed", "step", "space", "tasks", "value", "n"]
    return pd.DataFrame(rows, columns=columns)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel a space, a row a scale; a point a seed, and the live run's larger with a rim."""
    names = list(dict.fromkeys(table["space"]))
    scales = sorted(table["scale"].unique(), key=figures.blocks)[::-1]
    fig, axes = figures.new(3.0 * len(names) + 1.6, 0.7 * len(scales) + 1.4, len(names),
                            squeeze=False, sharey=True)  # fmt: skip
    for ax, name in zip(axes[0], names, strict=True):
        for shift, (tasks, colour) in zip((0.14, -0.14), LOOKS.items(), strict=True):
            some = table[(table["space"] == name) & (table["tasks"] == tasks)]
            y = some["scale"].map(scales.index).astype(float) + shift
            figures.points(ax, some, some["value"], y, colour)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set(title=f"{name} space", ylim=(-0.6, len(scales) - 0.4))
    axes[0, 0].set_yticks(range(len(scales)), scales)
    fig.supxlabel("slope of phenomenon beside frame and words (sd)", fontsize=10)
    figures.legend(fig, LOOKS, table, "points")
    return fig
