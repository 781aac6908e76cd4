"""First order: how well gradients predict transfer, where they miss it, and when to trust them.

A cell is what was predicted and measured for one source and one target in one model; a model is a
scale, a seed, a step and the width k of its tunings. Numbers of models that differ in the seed
alone are put together, with intervals over seeds and families of tasks (chapter 15).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from taskspace_utils import claims, measured
from taskspace_utils.measured import DRAWS, Estimate, Statistic

MODEL = ["scale", "step", "k"]  # and seed
ENDS = ("source", "target")
NUMBERS = ["value", "low", "high", "seeds", "lowest", "highest", "cells"]
ERRORS = ("gain", "turn", "bend")


@dataclass(frozen=True)
class Design:
    """What `measured.estimate` has to know of an experiment: its seeds, and its tasks' families."""

    seeds: tuple[int, ...]
    tasks: pd.DataFrame  # indexed by task, with the column family


def together(
    cells: pd.DataFrame,
    tasks: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], Statistic],
    by: list[str] = MODEL,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """A number of each group of models, with its interval over seeds and families.

    Args:
        cells: columns seed, source, target, those of `by`, and what the statistic reads.
        tasks: indexed by task, with the column family.
        statistic: of the cells of one seed, a function of their weights (draws, cells).

    Returns:
        a row a group, in the columns `by`; then value, low, high (NaN: no interval), seeds (how
        many), lowest and highest (of single seeds), cells (of the seed that has the fewest).
    """
    rows = []
    for group, some in cells.groupby(by):
        parts = {(seed, ""): (part, statistic(part)) for seed, part in some.groupby("seed")}
        design = Design(tuple(sorted(some["seed"].unique())), tasks)
        rows.append((*group, *_row(measured.estimate(design, parts, ENDS, None, draws))))
    return pd.DataFrame(rows, columns=[*by, *NUMBERS])


def difference(
    one: pd.DataFrame,
    other: pd.DataFrame,
    tasks: pd.DataFrame,
    statistic: Callable,
    draws: int = DRAWS,
) -> pd.Series:
    """A statistic of some cells minus that of others, seed by seed; a row of `together`."""
    parts = {
        (seed, name): (some, statistic(some))
        for name, table in (("one", one), ("other", other))
        for seed, some in table.groupby("seed")
    }
    design = Design(tuple(sorted({seed for seed, _ in parts})), tasks)
    minus = lambda both: both["one"] - both["other"]  # noqa: E731
    return pd.Series(_row(measured.estimate(design, parts, ENDS, minus, draws)), index=NUMBERS)


def _row(found: Estimate) -> tuple:
    points = found.points
    return (found.value, found.low, found.high, len(points), points.min(), points.max(),
            found.n_cells)  # fmt: skip


def verdict(rule: str, smallest: float, row: pd.Series) -> str:
    """The word for an interval (`claims.verdict`); "not attempted" where there is none."""
    if not row["low"] <= row["high"]:
        return "not attempted"
    return claims.verdict(rule, smallest, row["low"], row["high"])


def sharper(cells: pd.DataFrame, sources: pd.DataFrame) -> pd.Series:
    """Predictions that know nothing but gradients and the gain asked for (equation 15.4), nats.

    Args:
        cells: columns seed, scale, step, k, source, and predicted by equation 7.4.
        sources: a row a model and task: own (gain on eval pairs, nats), asked (on train pairs),
            held (⟨M g¹, g²⟩ / ‖M g¹‖² of its own gradients from train and eval pairs).
    """
    keys = ["seed", *MODEL, "source"]
    facts = sources.set_index(keys)[["own", "asked", "held"]]
    known = cells[keys].join(facts, on=keys)
    return cells["predicted"] / known["own"] * known["held"] * known["asked"]


# --------------------------------------------------------------------------------- statistics


def rho(cells: pd.DataFrame, x: str = "predicted", y: str = "real") -> Statistic:
    """Rank correlation of two columns, as a function of the cells' weights."""
    values = cells[x].to_numpy(), cells[y].to_numpy()
    return lambda weights: weighted_rho(weights, *values)


def weighted_rho(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's ρ of a table whose rows are repeated as often as their weights say, a number a row
    of weights; nothing is repeated, so thousands of draws are quick.

    Args:
        weights: shape (draws, cells), not negative.
    """
    found = np.empty(len(weights))
    orders = [_ties(values) for values in (x, y)]
    for i, weight in enumerate(weights):
        ranks = []
        for place, n in orders:
            mass = np.bincount(place, weight, n)  # of each distinct value
            ranks.append((np.cumsum(mass) - mass / 2)[place])
        found[i] = _pearson(weight, *ranks)
    return found


def _ties(values: np.ndarray) -> tuple[np.ndarray, int]:
    distinct, place = np.unique(values, return_inverse=True)
    return place, len(distinct)


def _pearson(weight: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    total = weight.sum()
    if not total:
        return np.nan
    x, y = x - weight @ x / total, y - weight @ y / total
    spread = (weight @ (x * x)) * (weight @ (y * y))
    return float(weight @ (x * y) / np.sqrt(spread)) if spread > 0 else np.nan


def relative_error(cells: pd.DataFrame, x: str = "predicted", y: str = "real") -> Statistic:
    """Root mean square of y − x over that of y: 0 is perfect, 1 no better than to predict 0."""
    real = cells[y].to_numpy()
    missed = (real - cells[x].to_numpy()) ** 2
    return lambda weights: np.sqrt(_ratio(weights @ missed, weights @ real**2))


def right_sign(cells: pd.DataFrame) -> Statistic:
    """Share of the cells whose sign is predicted."""
    right = (np.sign(cells["predicted"]) == np.sign(cells["real"])).to_numpy(float)
    return lambda weights: measured.mean(weights, right)


def of_error(part: str, minus: str = "") -> Callable[[pd.DataFrame], Statistic]:
    """Share of the squared error of `first` that is owed to a part of it (equation 15.3).

    The shares of all of `ERRORS` add up to 1; one below 0 makes up for another.

    Args:
        part: a column of `parts`.
        minus: another, whose share is taken away.
    """

    def statistic(walks: pd.DataFrame) -> Statistic:
        table = parts(walks)
        whole = table.sum(axis=1).to_numpy()
        product = (table[part] - (table[minus] if minus else 0.0)).to_numpy() * whole
        return lambda weights: _ratio(weights @ product, weights @ whole**2)

    return statistic


def growth(walks: pd.DataFrame) -> Statistic:
    """Power by which the relative error of `first` grows between the two shortest gains."""
    short, longer = sorted(walks["asked"].unique())[:2]
    rows = [(walks["asked"] == gain).to_numpy() for gain in (short, longer)]
    of = [relative_error(walks[row], "first") for row in rows]

    def statistic(weights: np.ndarray) -> np.ndarray:
        one, other = (error(weights[:, row]) for error, row in zip(of, rows, strict=True))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(other / one) / np.log(longer / short)

    return statistic


def parts(walks: pd.DataFrame) -> pd.DataFrame:
    """What makes up the error `first` − `real` of a walk's stop, nats; columns `ERRORS`.

    gain: the source's eval margin rises by more than its gradients say, or less; turn: the way
    leaves the direction that it began in; bend: the target's gradient changes along it.
    """
    return pd.DataFrame({
        "gain": walks["first"] - walks["first_train"],
        "turn": walks["first_train"] - walks["on_way"],
        "bend": walks["on_way"] - walks["real"],
    })  # fmt: skip


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(other > 0, one / other, np.nan)


# ------------------------------------------------------------------------------- which cells miss


def kinds(cells: pd.DataFrame, sources: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """What sort of cells these are, a column of true and false a sort; they overlap.

    Args:
        cells: columns scale, seed, step, k, source, target, predicted.
        sources: a row a model and task: reached, reliability, accuracy (before any tuning).
        tasks: indexed by task: family, phenomenon, bag_accuracy.
    """
    keys = ["seed", *MODEL]
    facts = sources.set_index([*keys, "source"])[["reached", "reliability", "accuracy"]]
    own = cells[[*keys, "source"]].join(facts, on=[*keys, "source"])
    theirs = cells[[*keys, "target"]].join(facts, on=[*keys, "target"])
    order = tasks["bag_accuracy"] <= 0.6
    one, other = (cells[end].map(tasks["family"]) for end in ENDS)
    kin = cells["source"].map(tasks["phenomenon"]) == cells["target"].map(tasks["phenomenon"])
    return pd.DataFrame({
        "all cells": True,
        "source not reached": own["reached"] == 0,
        "source unreliable": own["reliability"] < 0.5,
        "source of order only": cells["source"].map(order),
        "target solved before": theirs["accuracy"] > 0.99,
        "target below chance": theirs["accuracy"] < 0.5,
        "target of order only": cells["target"].map(order),
        "same family": one == other,
        "same phenomenon, other family": kin & (one != other),
        "different phenomena": ~kin,
        "predicted to fall": cells["predicted"] < 0,
    }, index=cells.index)  # fmt: skip


STATISTICS = {"ρ": rho, "error": relative_error, "sign": right_sign}


def by_kind(
    cells: pd.DataFrame, sorts: pd.DataFrame, tasks: pd.DataFrame, draws: int = DRAWS
) -> pd.DataFrame:
    """For each sort of cells: share of the cells, ρ, relative error and its ends, signs."""
    rows = {}
    for name in sorts:
        some = cells[sorts[name].to_numpy(bool)].assign(sort=name)
        if len(some) < 3:
            continue
        found = {what: together(some, tasks, of, ["sort"], draws).iloc[0]
                 for what, of in STATISTICS.items()}  # fmt: skip
        rows[name] = {"share of cells": len(some) / len(cells)} | {
            f"{what}{end}": row[column]
            for what, row in found.items()
            for column, end in (("value", ""), ("low", " low"), ("high", " high"))
        }
    return pd.DataFrame(rows).T


# ------------------------------------------------------------------------------- when to trust it


def by_source(cells: pd.DataFrame, sources: pd.DataFrame) -> pd.DataFrame:
    """ρ over the targets of each source in each model, beside what is known of the source."""
    keys = ["seed", *MODEL, "source"]
    found = rank_correlations(cells, keys)
    return sources.merge(found.rename("rho").reset_index(), on=keys)


def rank_correlations(cells: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Spearman's ρ of predicted and real in each group, all groups at once."""
    values = ["predicted", "real"]
    ranks = cells.groupby(keys)[values].rank()
    ranks = ranks - ranks.groupby([cells[key] for key in keys]).transform("mean")
    x, y = (ranks[value] for value in values)
    sums = pd.DataFrame({"xy": x * y, "xx": x * x, "yy": y * y})
    sums = sums.groupby([cells[key] for key in keys]).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums["xy"] / np.sqrt(sums["xx"] * sums["yy"])


def longest_trusted(some: pd.DataFrame, wanted: float, share: float = 0.8) -> float:
    """The largest expected displacement up to which at least a share of sources has ρ ≥ wanted.

    Args:
        some: columns expected and rho, a row a source and model.

    Returns:
        0 where there is none.
    """
    ordered = some.dropna(subset=["expected", "rho"]).sort_values("expected")
    good = (ordered["rho"] >= wanted).expanding(min_periods=10).mean() >= share
    return float(ordered["expected"][good].max()) if good.any() else 0.0
