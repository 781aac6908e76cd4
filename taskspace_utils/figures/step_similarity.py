"""Likeness within and between phenomena over pre-training, and how spread out gradients are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.tables import Run

NAMES = {
    "cosine_corrected": "corrected cosine",
    "cosine": "cosine",
    "overlap_lift": "overlap ÷ chance",
    "participation": "participation",
    "transfer": "relative transfer",
}
KEYS = ["scale", "seed", "step"]
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
    return figures.beside(lambda one: measured(one, value, least), run, reference)


def reliable(run: Run, least: float) -> pd.DataFrame:
    """Rows of `tasks.csv` of real tasks, from the first checkpoint shown on."""
    facts = run.table("tasks").query("phenomenon != 'preference_sham' and step > 0")
    share = (facts["reliability"] >= least).groupby([facts[key] for key in KEYS]).mean()
    enough = share.groupby("step").min() >= 0.5
    return facts[facts["step"] >= (enough.idxmax() if enough.any() else np.inf)]


def measured(run: Run, value: str, least: float) -> pd.DataFrame:
    """As `load`, of one run."""
    facts, parts = reliable(run, least), []
    cells = dict(list(run.table("gradient").query("a < b").groupby(KEYS)))
    for _, some in facts.groupby(KEYS[:2], sort=False):
        some = everywhere(some, least)
        for key, here in some.groupby(KEYS):
            about = dict(zip(KEYS, key, strict=True))
            parts.append(means(here, cells[key], value).reset_index().assign(**about))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return found.reindex(columns=[*KEYS, "measure", "group", "value", "n"]).dropna()


def everywhere(facts: pd.DataFrame, least: float) -> pd.DataFrame:
    """The rows of tasks that are reliable in all of the models that the rows are of."""
    models = facts[KEYS].drop_duplicates().shape[0]
    good = facts[facts["reliability"] >= least]
    return good[good.groupby("task")["task"].transform("size") == models]


def means(facts: pd.DataFrame, cells: pd.DataFrame, value: str) -> pd.DataFrame:
    """Columns value and n of one model, by measure and group.

    Args:
        facts, cells: rows of `tasks.csv` of the tasks that count, and of `gradient.csv` (a < b).
    """
    phenomenon = facts.set_index("task")["phenomenon"]
    cells = cells[cells["a"].isin(phenomenon.index) & cells["b"].isin(phenomenon.index)]
    same = cells["a"].map(phenomenon) == cells["b"].map(phenomenon)
    spread = np.exp(np.log(facts["participation"]).mean())
    rows = [("participation", "each task", spread, len(facts))]
    for group, part in (("within", cells[same]), ("between", cells[~same])):
        rows += [(m, group, part[m].mean(), len(part)) for m in (value, "overlap_lift")]
    table = pd.DataFrame(rows, columns=["measure", "group", "value", "n"])
    return table.set_index(["measure", "group"])


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
