"""Likeness within and between phenomena against the size of the model, fairly compared."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.figures.step_similarity import (
    KEYS,
    LOOKS,
    NAMES,
    everywhere,
    means,
    reliable,
)
from taskspace_utils.runs import OTHER_TEXT
from taskspace_utils.spaces import transfer
from taskspace_utils.tables import Run


def load(
    run: Run, reference: Run | None = None, value: str = "cosine_corrected", least: float = 0.5
) -> pd.DataFrame:
    """The measures of `step_similarity` at equal held-out loss, at equal step, and at the end.

    Each time over the pairs of tasks that are reliable in all models of a seed that are compared.
    The equal loss of a seed is the lowest that all its scales reach; between the two checkpoints
    that first enclose it, measures are interpolated linearly in the loss. The equal step is the
    last that both runs have. Relative transfer joins at the last step at which it was measured,
    over the sources whose own margin rose in all scales of a seed.

    Returns:
        columns run, profile, scale, parameters (without embeddings), seed, at, loss (nats a token),
        measure, group, value, n.
    """
    end = min(one.table("tasks")["step"].max() for one in (run, reference) if one is not None)
    return figures.beside(lambda one: _compared(one, value, least, end), run, reference)


def _compared(run: Run, value: str, least: float, step: int) -> pd.DataFrame:
    training = run.table("training")
    loss = training[training["text"] != OTHER_TEXT].groupby(KEYS)["loss"].mean()
    facts, found = reliable(run, least), _transferred(run, loss)
    cells = dict(list(run.table("gradient").query("a < b").groupby(KEYS)))
    for seed, some in facts.groupby("seed"):
        paths = {scale: loss[scale, seed].loc[np.unique(part["step"])]
                 for scale, part in some.groupby("scale")}  # fmt: skip
        level = max(path.min() for path in paths.values())
        ways = {
            "equal loss": {scale: _place(path, level) for scale, path in paths.items()},
            f"step {step}": {scale: {step: 1.0} for scale in paths},
            "last step": {scale: {path.index[-1]: 1.0} for scale, path in paths.items()},
        }
        for at, places in ways.items():
            keys = [(scale, seed, s) for scale, place in places.items() for s in place]
            models = dict(
                list(
                    everywhere(
                        some[pd.MultiIndex.from_frame(some[KEYS]).isin(keys)], least
                    ).groupby(KEYS)
                )
            )
            for scale, place in places.items() if len(models) == len(keys) else ():
                of = {s: means(models[scale, seed, s], cells[scale, seed, s], value) for s in place}
                number = sum(share * of[s]["value"] for s, share in place.items())
                x = sum(share * paths[scale][s] for s, share in place.items())
                about = (scale, figures.blocks(scale), seed, at, x)
                found += [(*about, *name, v, of[max(place)].loc[name, "n"])
                          for name, v in number.items()]  # fmt: skip
    columns = ["scale", "parameters", "seed", "at", "loss", "measure", "group", "value", "n"]
    return pd.DataFrame(found, columns=columns).dropna()


def _place(path: pd.Series, level: float) -> dict[int, float]:
    """The checkpoints that first enclose a loss, with their shares; the first, if it is below."""
    for early, late in pairwise(path.index):
        if path[early] > level >= path[late]:
            share = (path[early] - level) / (path[early] - path[late])
            return {step: s for step, s in ((early, 1 - share), (late, share)) if s > 0}
    return {path.index[0]: 1.0}


def _transferred(run: Run, loss: pd.Series) -> list[tuple]:
    facts = run.table("tasks").query("phenomenon != 'preference_sham'").drop_duplicates("task")
    phenomenon, moved, rows = facts.set_index("task")["phenomenon"], run.table("transfer"), []
    moved = moved[moved["source"].isin(facts["task"]) & moved["target"].isin(facts["task"])]
    moved = moved[moved["tuning"] == moved["tuning"].min()]
    for (seed, step), of_seed in moved[moved["step"] == moved["step"].max()].groupby(
        ["seed", "step"]
    ):
        spaces = {s: transfer(some, relative=True) for s, some in of_seed.groupby("scale")}
        rose = sum(space.isna().all(axis=1) for space in spaces.values()) == 0
        for scale, space in spaces.items():
            cells = space[rose].rename_axis(index="a", columns="b").stack().rename("value")
            cells = cells.reset_index().query("a != b")
            same = cells["a"].map(phenomenon) == cells["b"].map(phenomenon)
            for group, part in (("within", cells[same]), ("between", cells[~same])):
                about = (
                    scale,
                    figures.blocks(scale),
                    seed,
                    f"step {step}",
                    loss[scale, seed, step],
                )
                rows.append((*about, "transfer", group, part["value"].mean(), len(part)))
    return rows


def _at(loss: np.ndarray, value: np.ndarray, wanted: float) -> float:
    """A value where the loss first falls to what is wanted; NaN where it starts below, or later."""
    for i in range(len(loss)):
        if loss[i] == wanted:
            return value[i]
        if i + 1 < len(loss) and loss[i] > wanted >= loss[i + 1]:
            share = (loss[i] - wanted) / (loss[i] - loss[i + 1])
            return value[i] + share * (value[i + 1] - value[i])
    return np.nan


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A column a way to compare, a row a measure; bands are the reference's range over seeds."""
    measures = [name for name in NAMES if name in set(table["measure"])]
    ways = sorted(table["at"].unique(), key=lambda way: (way == "last step", way))
    sizes = table.drop_duplicates("scale").set_index("scale")["parameters"].sort_values()
    fig, axes = figures.new(2.3 * len(ways) + 1.4, 1.9 * len(measures) + 0.8, len(ways),
                            len(measures), squeeze=False, sharex=True,
                            sharey="row")  # fmt: skip
    for row, measure in zip(axes, measures, strict=True):
        for ax, way in zip(row, ways, strict=True):
            some = table[(table["measure"] == measure) & (table["at"] == way)]
            for group, colour in LOOKS.items():
                figures.over(ax, some[some["group"] == group], "parameters", "value", colour)
        row[0].set_yscale("log" if measure == "participation" else "linear")
        for ax in row:
            ax.set_visible(bool(ax.lines))
        first = next(ax for ax in row if ax.get_visible())
        first.set_ylabel(NAMES[measure])
        first.tick_params(labelleft=True)
    for column, way in zip(axes.T, ways, strict=True):
        column[0].set(title=way, xscale="log")
        column[0].set_xticks(sizes, sizes.index)
        column[0].minorticks_off()
        [ax for ax in column if ax.get_visible()][-1].tick_params(labelbottom=True)
    fig.supxlabel("scale, by parameters without embeddings", fontsize=10)
    figures.legend(fig, LOOKS, table)
    return fig
