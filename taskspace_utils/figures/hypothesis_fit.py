"""How well the hypotheses of chapter 9 fit gradient spaces over pre-training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import families, figures, spaces
from taskspace_utils.hypotheses import lexical_space, same_label
from taskspace_utils.store import data_path
from taskspace_utils.tables import Run, read_table

FIT = "together (share explained)"
LOOKS = {"phenomenon": "#D55E00", "frame": "#0072B2", "field": "#0072B2",
         "lexical_diff": "#CC79A7"}  # fmt: skip


def load(
    run: Run, reference: Run | None = None, value: str = "cosine_corrected"
) -> pd.DataFrame:  # fmt: skip
    """Standardised slopes of equation 9.2 for every model, and the variance explained together.

    Returns:
        columns run, profile, scale, seed, step, hypothesis, value, n (tasks).
    """
    return figures.beside(lambda one: _fits(one, value), run, reference)


def _fits(run: Run, value: str) -> pd.DataFrame:
    parts = [slopes_of(run, space).assign(scale=scale, seed=seed, step=step)
             for (scale, seed, step), space in spaces_of(run, value)]  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    return table[["scale", "seed", "step", "hypothesis", "value", "n"]].dropna()


def spaces_of(run: Run, value: str) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """The symmetric space over real tasks of each model of a run, by scale, seed and step.

    Args:
        value: a column of `gradient.csv`; or "transfer" (Δm, nats) of the run's smallest mask.
    """
    facts = run.table("tasks").query("phenomenon != 'preference_sham'")
    names = sorted(facts["task"].unique())
    table = run.table("transfer" if value == "transfer" else "gradient")
    if value == "transfer":
        table = table[table["tuning"] == sorted(table["tuning"].unique())[0]]
    for key, some in table.groupby(["scale", "seed", "step"], sort=False):
        space = spaces.transfer(some) if value == "transfer" else spaces.square(some, value)
        yield key, spaces.symmetric(space.reindex(index=names, columns=names))


def slopes_of(run: Run, space: pd.DataFrame) -> pd.DataFrame:
    """Slopes of phenomenon, frame (BLiMP: field) and lexical_diff, and what they explain.

    Over the tasks that have values in the space; NaN with fewer than five of them.
    """
    grammar = run.manifest["parameters"]["language"] == "grammar"
    labels = read_table(data_path("hypotheses", f"{'grammar' if grammar else 'blimp'}.csv"))
    labels = labels[labels["task"].isin(space.index)]
    named = {name: same_label(labels, name) for name in
             ("phenomenon", "frame" if grammar else "field")}  # fmt: skip
    named["lexical_diff"] = lexical_space(run.table("lexical"))
    names = families.common(space, *named.values())
    found = pd.Series(np.nan, [*named, FIT])
    if len(names) >= 5:
        table = families.cell_table({"space": space, **named})
        slopes = families.slopes(table, list(named)).dropna()
        shared = table[["space", *slopes.index]].corr()["space"][slopes.index]
        found[slopes.index], found[FIT] = slopes, float(slopes @ shared)
    return found.rename_axis("hypothesis").rename("value").reset_index().assign(n=len(names))


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A column a scale; slopes above, the share explained below."""
    scales = sorted(table["scale"].unique(), key=figures.blocks)
    fig, axes = figures.new(2.3 * len(scales) + 1.8, 4.2, len(scales), 2, squeeze=False,
                            sharex=True, sharey="row", height_ratios=[3, 2])  # fmt: skip
    steps = sorted(table["step"].unique())
    table = table.assign(place=table["step"].map(steps.index))
    shown = {h: colour for h, colour in LOOKS.items() if h in set(table["hypothesis"])}
    for (top, bottom), scale in zip(axes.T, scales, strict=True):
        some = table[table["scale"] == scale]
        for name, colour in shown.items():
            figures.over(top, some[some["hypothesis"] == name], "place", "value", colour)
        figures.over(bottom, some[some["hypothesis"] == FIT], "place", "value", "#000000")
        top.axhline(0, color="black", linewidth=0.5, linestyle=":")
        top.set_title(scale)
        bottom.set_xticks(range(len(steps)), steps, rotation=45, fontsize=8)
    axes[1, 0].set_ylim(min(0, axes[1, 0].get_ylim()[0]), None)
    axes[0, 0].set_ylabel("slope (sd)")
    axes[1, 0].set_ylabel("share explained")
    fig.supxlabel("step of pre-training", fontsize=10)
    figures.legend(fig, shown, table)
    return fig
