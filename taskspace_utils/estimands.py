"""Estimands: the number behind each claim, its interval and each seed's own, from tables alone.

What each function estimates, and which choices it leaves open, is written in `data/claims.yml`,
whose `estimand` and `options` name a function here and its arguments. All raise `NotMeasured` where
the run has not what they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from taskspace_utils import families, spaces
from taskspace_utils.equal_gain import at_gain
from taskspace_utils.hypotheses import lexical_space, same_label
from taskspace_utils.measured import (
    RELIABLE,
    Estimate,
    Measured,
    NotMeasured,
    Statistic,
    correlation,
    estimate,
    mean,
)
from taskspace_utils.store import data_path
from taskspace_utils.tables import MODEL_KEYS, read_table
from taskspace_utils.yaml_files import read_yaml

ORDER_ONLY = 0.60  # accuracy of a bag of words up to which a task is order-only
INTERVALS = 3  # fewest intervals between checkpoints that have a largest one
BESIDE = {"grammar": "frame", "text": "field"}  # the theory that stands beside the phenomenon
TABLES = {"grammar": "grammar", "text": "blimp"}  # of data/hypotheses/


def doublings(scale: str) -> float:
    """log2 of a scale's parameters without embeddings, from `data/scales.yml`."""
    row = read_yaml(data_path("scales.yml"), dict).get(scale)
    if row is None:
        raise NotMeasured(f"the size of scale {scale!r} is unknown")
    return float(np.log2(12 * row["layers"] * row["width"] ** 2))


def _per_doubling(by_scale: Mapping[str, np.ndarray]) -> np.ndarray:
    if len(by_scale) < 2:
        raise NotMeasured("one scale has no slope in scale")
    x = np.array([doublings(scale) for scale in by_scale])
    x -= x.mean()
    return x @ np.array(list(by_scale.values())) / (x @ x)


def contrast_of(weights: np.ndarray, values, same: np.ndarray, kind: str, log: bool) -> np.ndarray:
    """Mean of cells within phenomena, or within minus between; of its log where asked."""
    parts = [mean(weights * same, values)]
    if kind == "within - between":
        parts.append(mean(weights * ~same, values))
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [np.log(part) if log else part for part in parts]
    return parts[0] - parts[1] if len(parts) > 1 else parts[0]


# ------------------------------------------------------------------------------- F1: the ladder


def own_accuracy(of: Measured, rung: str, plain: str, at: str) -> Estimate:
    """Rise of the own held-out accuracy on a rung minus that on the plain one, share of pairs.

    Args:
        at: "end" of the tuning, or "best": the highest on the way.
    """
    rows = of.ladder.drop_duplicates([*MODEL_KEYS, "rung", "source", "tuning_step"])
    rows = rows[~rows["flag"].str.contains("solved before tuning")]
    by = rows.sort_values("tuning_step").groupby([*MODEL_KEYS, "rung", "source"])["accuracy"]
    table = (by.max() if at == "best" else by.last()).reset_index()
    return _beside(of, table, "accuracy", rung, plain, lambda ours, other: ours - other)


def log_harm_ratio(of: Measured, rung: str, plain: str, rise: float, text: str) -> Estimate:
    """Log of the plain rung's divergence over another's where accuracy rose alike, log ratio."""
    table = _at_rise(of, rise, text)
    table = table[table["harm_kl"] > 0]
    return _beside(of, table, "harm_kl", rung, plain, lambda ours, other: np.log(other / ours))


def perplexity_difference(of: Measured, rung: str, plain: str, rise: float, text: str) -> Estimate:
    """Rise of the log perplexity, plain minus another rung, where accuracy rose alike, nats."""
    table = _at_rise(of, rise, text)
    return _beside(of, table, "harm_loss", rung, plain, lambda ours, other: other - ours)


def _at_rise(of: Measured, rise: float, text: str) -> pd.DataFrame:
    found = at_gain(of.ladder[of.ladder["text"] == text], rise, "accuracy")
    return found[found["reached"]]


def _beside(of, table, value, rung, plain, difference) -> Estimate:
    wide = table.pivot_table(value, ["seed", "scale", "source"], "rung")
    if not {rung, plain} <= set(wide):
        raise NotMeasured(f"no task came so far on both {rung} and {plain}")
    wide = difference(wide[rung], wide[plain]).dropna().rename("x").reset_index()
    parts = {key: (some, lambda w, some=some: mean(w, some["x"]))
             for key, some in wide.groupby(["seed", "scale"])}  # fmt: skip
    return estimate(of, parts, ("source",))


# ---------------------------------------------------------------------------- F2 and F3: structure


def structure_slope(
    of: Measured, space: str, step: int, order_only: bool, k: float = 0.01, measure: str = "margin"
) -> Estimate:
    """Standardised slope of "same phenomenon" beside another theory and `lexical_diff`.

    Args:
        space: a column of `gradient.csv`, or "transfer" (Δm or Δaccuracy, mean of both directions).
    """
    labels = read_table(data_path("hypotheses", f"{TABLES[of.language]}.csv"))
    names = labels["task"][labels["task"].isin(of.tasks.index)]
    if order_only:
        names = names[names.map(of.tasks["bag_accuracy"]) <= ORDER_ONLY]
    labels = labels[labels["task"].isin(names)]
    fixed = {name: same_label(labels, name) for name in ("phenomenon", BESIDE[of.language])}
    fixed["lexical_diff"] = lexical_space(of.run.table("lexical"))
    table = of.gradient if space != "transfer" else _tuned(of, k, measure)
    parts = {}
    for key, some in table[table["step"] == step].groupby(["seed", "scale"]):
        here = _square(some, space)
        cells = families.cell_table({"space": here.loc[*[here.index.intersection(names)] * 2],
                                     **fixed})  # fmt: skip
        x = cells[["space", *fixed]].to_numpy(float)
        parts[key] = cells, lambda w, x=x: _slope(w, x)
    if not parts:
        raise NotMeasured(f"no {space} at step {step}")
    return estimate(of, parts, ("a", "b"))


def _square(table: pd.DataFrame, space: str) -> pd.DataFrame:
    if space == "transfer":
        return spaces.symmetric(spaces.transfer(table))
    half = table[["a", "b", space]]
    found = spaces.square(pd.concat([half, half.rename(columns={"a": "b", "b": "a"})]), space)
    return found.where(~np.eye(len(found), dtype=bool), 1.0)  # a task with itself does not count


def _tuned(of: Measured, k: float, measure: str) -> pd.DataFrame:
    configs = of.run.table("configs").query("loss == 'differential' and k == @k")
    table = of.transfer[of.transfer["tuning"].isin(configs["tuning"])]
    if table.empty:
        raise NotMeasured(f"no transfer with k = {k:g}")
    if measure == "accuracy":  # `spaces.transfer` reads the columns of margins
        now = {f"margin_{when}": table[f"accuracy_{when}"] for when in ("before", "after")}
        table = table.assign(**now)
    return table


def _slope(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Slope of the first column on the second beside the others, all standardised, by draw.

    A predictor that a draw leaves without variance is left out there; NaN where it is the second.
    """
    n, p = x.shape
    centre = np.column_stack([mean(weights, column) for column in x.T])
    products = np.einsum("np,nq->pqn", x, x).reshape(p * p, n)
    pairs = np.column_stack([mean(weights, product) for product in products])
    covariance = pairs.reshape(-1, p, p) - centre[:, :, None] * centre[:, None, :]
    variance = np.einsum("dpp->dp", covariance)
    found = np.full(len(weights), np.nan)
    for draw, (c, v) in enumerate(zip(covariance, variance, strict=True)):
        varied = np.flatnonzero(v > 1e-12)
        if {0, 1} <= set(varied):
            r = c[np.ix_(varied, varied)] / np.sqrt(np.outer(v[varied], v[varied]))
            found[draw] = np.linalg.lstsq(r[1:, 1:], r[1:, 0], rcond=None)[0][0]
    return found


def slope_in_scale(of: Measured, value: str, contrast: str, at: str) -> Estimate:
    """Change for each doubling of parameters of a contrast of cells (log of it for a lift).

    Args:
        at: "equal loss" (the lowest that all scales reach), "equal loss early" (the highest that
            all have only at reliable checkpoints), or "equal step" (the last).
    """
    parts = {}
    for seed in of.seeds:
        places = {scale: _place(of, seed, scale, at) for s, scale in of.models if s == seed}
        points = [(scale, step) for scale, place in places.items() for step in place]
        if set(places) != of.scales:
            continue
        cells, found = of.wide([value], seed, points)
        values = {point: some[value].to_numpy() for point, some in zip(points, found)}
        for scale, place in places.items() if len(cells) else ():
            x = sum(share * values[scale, step] for step, share in place.items())
            parts[seed, scale] = cells, _kin(of, cells, x, contrast, value == "overlap_lift")
    return estimate(of, parts, ("a", "b"), _per_doubling)


def _kin(of: Measured, cells: pd.DataFrame, x: np.ndarray, kind: str, log: bool) -> Statistic:
    same = of.same(cells)
    return lambda weights: contrast_of(weights, x, same, kind, log)


def transfer_in_scale(of: Measured, k: float, contrast: str, step: int) -> Estimate:
    """Change for each doubling of parameters of a contrast of relative transfer at one step."""
    table = _tuned(of, k, "margin").query("step == @step")
    spaces_of = {key: spaces.transfer(some, relative=True)
                 for key, some in table.groupby(["seed", "scale"])}  # fmt: skip
    scales, parts = {scale for _, scale in spaces_of}, {}
    for seed in of.seeds:
        if not all((seed, scale) in spaces_of for scale in scales) or not scales:
            continue
        named = {scale: spaces_of[seed, scale] for scale in sorted(scales)}
        long = pd.concat({scale: some.rename_axis(index="a", columns="b").stack()
                          for scale, some in named.items()}, axis=1).dropna()  # fmt: skip
        cells = long.reset_index().query("a != b")
        for scale in named:
            values = cells[scale].to_numpy()
            parts[seed, scale] = cells, _kin(of, cells, values, contrast, False)
    return estimate(of, parts, ("a", "b"), _per_doubling)


def _place(of: Measured, seed: int, scale: str, at: str) -> dict[int, float]:
    """The checkpoints that stand for a scale, with their shares."""
    steps = of.steps
    if at == "equal step":
        return {steps[-1]: 1.0}
    every = sorted(of.facts["step"].unique())
    losses = {s: of.losses[seed, s].reindex(every) for s in sorted(of.scales)
              if (seed, s) in of.models}  # fmt: skip
    if at == "equal loss early":
        level = min(some[steps[0]] for some in losses.values())
    else:
        level = max(some.min() for some in losses.values())
    some = losses[scale].to_numpy()
    for i in range(len(every) - 1):
        if some[i] >= level >= some[i + 1] and some[i] > some[i + 1]:
            share = (some[i] - level) / (some[i] - some[i + 1])
            return {int(s): w for s, w in zip(every[i : i + 2], (1 - share, share)) if w > 0}
    raise NotMeasured(f"scale {scale} of seed {seed} does not come to the others' loss")


# ----------------------------------------------------------------------------- F4 and F5: training


def _first_and_last(of: Measured) -> tuple[int, int]:
    if len(of.steps) < 2:
        raise NotMeasured("the first reliable checkpoint is the last")
    return of.steps[0], of.steps[-1]


def change_in_training(
    of: Measured, value: str, contrast: str, reliability: float = RELIABLE
) -> Estimate:
    """A contrast of cells at the last checkpoint minus the first reliable one (log for a lift)."""
    ends, parts, log = _first_and_last(of), {}, value == "overlap_lift"
    for seed, scale in of.models:
        cells, found = of.wide([value], seed, [(scale, step) for step in ends], reliability)
        if len(cells):
            first, last = (_kin(of, cells, some[value].to_numpy(), contrast, log) for some in found)
            parts[seed, scale] = cells, lambda w, one=first, two=last: two(w) - one(w)
    return estimate(of, parts, ("a", "b"))


def participation_in_training(of: Measured, reliability: float = RELIABLE) -> Estimate:
    """Log ratio of the tasks' participation, last checkpoint over the first reliable one."""
    ends, parts = list(_first_and_last(of)), {}
    facts = of.facts[of.facts["reliability"] >= reliability]
    for key, some in facts.groupby(["seed", "scale"]):
        wide = some.pivot(index="task", columns="step", values="participation").reindex(
            columns=ends
        )
        x = np.log(wide[ends[1]] / wide[ends[0]]).dropna().rename("x").reset_index()
        parts[key] = x, lambda w, x=x: mean(w, x["x"])
    return estimate(of, parts, ("task",))


def _halves(some: pd.DataFrame, value: str) -> tuple[np.ndarray, np.ndarray]:
    """Two measurements of the same cells from disjoint pairs; of a raw value, twice the same."""
    if value != "cosine_corrected":
        return (some[value].to_numpy(),) * 2
    return tuple((some[side] / some["corrected_by"]).to_numpy() for side in ("up", "down"))


NEEDED = ["cosine", "up", "down", "corrected_by"]


def stability(of: Measured, value: str) -> Estimate:
    """Correlation of spaces at consecutive checkpoints, mean over the intervals.

    Args:
        value: "cosine_corrected", or "cosine" for the plain correlation of raw cosines.
    """
    _first_and_last(of)
    parts = {}
    for seed, scale in of.models:
        pieces = [of.wide(NEEDED, seed, [(scale, step) for step in pair])
                  for pair in pairwise(of.steps)]  # fmt: skip
        if not all(len(cells) for cells, _ in pieces):
            continue
        every = pd.concat([cells for cells, _ in pieces]).drop_duplicates(ignore_index=True)
        index = pd.MultiIndex.from_frame(every)
        at = [index.get_indexer(pd.MultiIndex.from_frame(cells)) for cells, _ in pieces]
        sides = [[_halves(some, value) for some in found] for _, found in pieces]
        parts[seed, scale] = (
            every,
            lambda w, at=at, sides=sides: np.mean(
                [_alike(w[:, rows], *two) for rows, two in zip(at, sides)], axis=0
            ),
        )
    return estimate(of, parts, ("a", "b"))


def _alike(weights: np.ndarray, before: tuple, after: tuple) -> np.ndarray:
    across = [correlation(weights, before[i], after[1 - i]) for i in (0, 1)]
    own = correlation(weights, *before) * correlation(weights, *after)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.mean(across, axis=0) / np.sqrt(own)


def largest_share(of: Measured, value: str) -> Estimate:
    """Largest share of a space's way that lies in one interval of log step.

    Args:
        value: "cosine_corrected", or "cosine" for the plain way of raw cosines.
    """
    if len(of.steps) <= INTERVALS:
        raise NotMeasured(f"fewer than {INTERVALS} intervals from the first reliable checkpoint on")
    widths = [late / early for early, late in pairwise(of.steps)]
    if np.ptp(widths) > 1e-9:
        raise NotMeasured("checkpoints are not evenly spaced in log step")
    parts = {}
    for seed, scale in of.models:
        cells, found = of.wide(NEEDED, seed, [(scale, step) for step in of.steps])
        if len(cells):
            sides = [_halves(some, value) for some in found]
            moves = [(v - u) * (y - x) for (u, x), (v, y) in pairwise(sides)]
            parts[seed, scale] = cells, lambda w, moves=moves: _largest(w, moves)
    return estimate(of, parts, ("a", "b"))


def _largest(weights: np.ndarray, moves: list[np.ndarray]) -> np.ndarray:
    way = np.sqrt([np.maximum(mean(weights, move), 0) for move in moves])
    with np.errstate(invalid="ignore", divide="ignore"):
        return way.max(axis=0) / way.sum(axis=0)
