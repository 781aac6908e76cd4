"""How far a gradient space stays the same: between checkpoints, between seeds, between scales."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.likeness import reliable
from taskspace_utils.tables import Run

KINDS = {
    "checkpoints": "between checkpoints",
    "seeds": "between seeds",
    "scales": "between scales",
}


def load(run: Run, reference: Run | None = None, least: float = 0.5) -> pd.DataFrame:
    """Correlations of spaces over pairs of real tasks, corrected for their noise.

    The two spaces come from disjoint halves of the pairs, and their correlation is divided by the
    root of both spaces' correlations between such halves. Over the pairs of tasks that are reliable
    in both, at checkpoints as in `step_similarity`. Intervals between checkpoints are those of
    either run, wherever a run has both ends: longer intervals leave more time for change.

    Returns:
        columns run, profile, kind (a key of `KINDS`), what (a scale, or two scales), seed (of two
        seeds the first), other (the second seed, or the earlier step), step, value, n (pairs).
    """
    both = [reliable(one, least)["step"] for one in (run, reference) if one is not None]
    intervals = {pair for steps in both for pair in pairwise(sorted(steps.unique()))}
    return figures.beside(lambda one: _all(one, least, intervals), run, reference)


def _all(run: Run, least: float, intervals: set[tuple]) -> pd.DataFrame:
    facts = reliable(run, least).set_index(["scale", "seed", "step"])
    cells = run.table("gradient").groupby(["scale", "seed", "step"])
    halves = {key: _halves(cells.get_group(key), facts.loc[[key]], least)
              for key in dict.fromkeys(facts.index)}  # fmt: skip
    rows = []

    def add(kind: str, what: str, seed: int, other: int, one: tuple, two: tuple) -> None:
        value, n = _corrected(halves[one], halves[two])
        rows.append((kind, what, seed, other, max(one[2], two[2]), value, n))

    for scale, seed, step in sorted(halves):
        for early, late in sorted(intervals):
            if step == late and (scale, seed, early) in halves:
                add("checkpoints", scale, seed, early, (scale, seed, early), (scale, seed, late))
    for one, two in combinations(sorted(halves, key=lambda k: (figures.blocks(k[0]), *k[1:])), 2):
        if one[2] == two[2] and one[0] == two[0]:
            add("seeds", one[0], one[1], two[1], one, two)
        elif one[1:] == two[1:]:
            add("scales", f"{one[0]}–{two[0]}", one[1], one[1], one, two)
    columns = ["kind", "what", "seed", "other", "step", "value", "n"]
    return pd.DataFrame(rows, columns=columns).dropna(subset="value")


def _halves(cells: pd.DataFrame, facts: pd.DataFrame, least: float) -> pd.DataFrame:
    """Cosines of train with eval gradients, and of eval with train, for each pair of tasks."""
    facts = facts[facts["reliability"] >= least].set_index("task")
    dots = cells.pivot(index="a", columns="b", values="dot").reindex(
        index=facts.index, columns=facts.index
    )
    size = facts["norm"] * np.sqrt(facts["reliability"].abs())
    cosines = dots.to_numpy() / np.outer(size, size)
    upper = np.triu_indices(len(facts), 1)
    names = pd.MultiIndex.from_arrays([facts.index[upper[0]], facts.index[upper[1]]])
    return pd.DataFrame({"first": cosines[upper], "second": cosines.T[upper]}, index=names)


def _corrected(one: pd.DataFrame, two: pd.DataFrame) -> tuple[float, int]:
    both = pd.concat([one, two.add_suffix("_two")], axis=1, join="inner").dropna()
    if len(both) < 10:
        return np.nan, len(both)
    r = both.corr()
    crossed = (r.loc["first", "second_two"] + r.loc["second", "first_two"]) / 2
    own = r.loc["first", "second"] * r.loc["first_two", "second_two"]
    return (crossed / np.sqrt(own) if own > 0 else np.nan), len(both)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel a kind of comparison, a colour a scale or two; 1: the same but for noise."""
    kinds = [kind for kind in KINDS if kind in set(table["kind"])]
    names = sorted(
        table["what"].unique(), key=lambda n: (len(n), [*map(figures.blocks, n.split("–"))])
    )
    colours = dict(zip(names, figures.COLOURS * 3, strict=False))
    fig, axes = figures.new(2.4 * len(kinds) + 1.8, 3.2, len(kinds), squeeze=False, sharey=True)
    for ax, kind in zip(axes[0], kinds, strict=True):
        some = table[table["kind"] == kind]
        before = some["other"] if kind == "checkpoints" else 0
        places = pd.Series([*zip(before + 0 * some["step"], some["step"], strict=True)], some.index)
        order = sorted(set(places))
        there = [name for name in names if name in set(some["what"])]
        for number, name in enumerate(there):
            part = some[some["what"] == name]
            x = places[part.index].map(order.index) + 0.2 * (number - (len(there) - 1) / 2)
            figures.points(ax, part, x, part["value"], colours[name])
        ax.axhline(1, color="black", linewidth=0.8, linestyle=":")
        labels = [f"{a}–{b}" if kind == "checkpoints" else b for a, b in order]
        ax.set_xticks(range(len(order)), labels, rotation=45, fontsize=8)
        ax.set_title(KINDS[kind])
    axes[0, 0].set_ylabel("corrected correlation")
    fig.supxlabel("step of pre-training", fontsize=10)
    figures.legend(fig, colours, table, "points")
    return fig
