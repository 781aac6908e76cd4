"""Likeness within and between phenomena over pre-training, and how spread out gradients are."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures, likeness
from taskspace_utils.tables import Run

NAMES = {
    "cosine_corrected": "corrected cosine",
    "cosine": "cosine",
    "overlap_lift": "overlap ÷ chance",
    "participation": "participation",
    "transfer": "relative transfer",
}
LOOKS = {"within": "#D55E00", "between": "#0072B2", "each task": "#009E73"}


def load(
    run: Run, reference: Run | None = None, value: str = "cosine_corrected", least: float = 0.5
) -> pd.DataFrame:
    """Means over pairs of real tasks that are reliable at all checkpoints shown of their model.

    Shown are checkpoints from the first on (step 0 left out) at which half of the tasks are
    reliable in every model of the run. Participations are geometric means over tasks.

    Args:
        reference: a run whose other seeds stand behind the live one.
        value: the cosine: "cosine_corrected" or "cosine".
        least: the reliability from which on a task counts.

    Returns:
        columns run, profile, scale, seed, step, measure, group (within, between, each task), value,
        n (pairs or tasks).
    """
    return figures.beside(lambda one: likeness.over_steps(one, value, least), run, reference)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A column a scale, a row a measure; bands are the reference's range over seeds."""
    measures = [name for name in NAMES if name in set(table["measure"])]
    scales = sorted(table["scale"].unique(), key=figures.blocks)
    fig, axes = figures.new(2.3 * len(scales) + 1.4, 1.9 * len(measures) + 0.8, len(scales),
                            len(measures), squeeze=False, sharex=True, sharey="row")  # fmt: skip
    for row, measure in zip(axes, measures, strict=True):
        for ax, scale in zip(row, scales, strict=True):
            some = table[(table["measure"] == measure) & (table["scale"] == scale)]
            for group, colour in LOOKS.items():
                figures.over(ax, some[some["group"] == group], "step", "value", colour)
            ax.set_xscale("log", base=2)
        row[0].set_ylabel(NAMES[measure])
        row[0].set_yscale("log" if measure == "participation" else "linear")
    steps = sorted(table["step"].unique())
    for ax, scale in zip(axes[0], scales, strict=True):
        ax.set_title(scale)
        ax.set_xticks(steps, steps, rotation=45, fontsize=8)
        ax.minorticks_off()
    fig.supxlabel("step of pre-training", fontsize=10)
    figures.legend(fig, LOOKS, table)
    return fig
