"""Walks: lessons that are stopped on their way, and what the first order says at each stop.

A lesson moves the weights from θ₀ by Δ. Of a target B, whose gradient is g_B (of −m_B, see `ftgd`),
the change of margin is exactly the integral of −⟨dθ, g_B(θ)⟩ along the way (chapter 15, equation
15.1). A walk measures the change at several gains of one lesson, and beside it what is left of that
integral when the way, or the target's gradient, is taken from the start alone.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from taskspace_utils import records, store
from taskspace_utils.ftgd import (
    TOLERANCE,
    Config,
    flat_weights,
    loss_gradient,
    norm,
    set_weights,
    top_k,
    tune,
)
from taskspace_utils.scoring import margins

ROOM = "studies/walks"


class Start:
    """A model before any lesson: margins and gradients of all tasks' eval pairs.

    Attributes:
        lm: the model.
        pairs: all tasks' pairs with `split` filled.
        tasks: their names, sorted.
        margin: mean margin of each task's eval pairs, nats, shape (tasks,).
        gradients: of −m on the eval pairs, shape (tasks, P).
    """

    def __init__(self, lm, pairs: pd.DataFrame) -> None:
        self.lm, self.pairs = lm, pairs
        self._held = pairs[pairs["split"] == "eval"]
        self.tasks = sorted(pairs["task"].unique())
        self.weights = flat_weights(lm.model)
        self.margin = self.margins()
        self.gradients = self.target_gradients()

    def margins(self) -> np.ndarray:
        """Mean eval margins of all tasks with the weights that the model has now."""
        found = pd.Series(margins(self.lm, self._held)).groupby(self._held["task"].to_numpy())
        return found.mean().loc[self.tasks].to_numpy()

    def target_gradients(self) -> torch.Tensor:
        """Eval gradients of all tasks with the weights that the model has now."""
        by_task = dict(iter(self._held.groupby("task")))
        return torch.stack([loss_gradient(self.lm, by_task[task])[0] for task in self.tasks])


def walk(
    start: Start, source: str, k: float, gains: tuple[float, ...], ends: bool = True
) -> pd.DataFrame:
    """A lesson on a source, stopped where it has about each of some gains.

    The lesson is that of `probing.transfer_row`, its target the last gain. Where a gain is shorter
    than one of its steps, a lesson of its own with shorter steps takes its place.

    Args:
        k: share of the weights that may move.
        gains: of the mean train margin, nats, ascending.
        ends: take the targets' gradients at the end, too; most of the time goes there.

    Returns:
        A row a gain and a target (the source is one). `gain`: reached on the train pairs, lower
        than `asked` at the end of a lesson that gave up; `real`: change of the target's eval
        margin. What that would be with everything taken from the start: `first` (cross-half,
        equation 7.4, scaled by the source's own eval gain) and `first_train` (scaled by the train
        gain); with the way as it was walked and the target's gradient of the start: `on_way`; with
        the mean of the target's gradients at both ends: `both_ends` (at the last gain only). All in
        nats. `displacement`: ‖Δ‖ / ‖θ₀‖. `own_turn`: cosine of the source's train gradient here
        with that at the start, over the weights that may move; `turn`: the same of the target's
        eval gradient, over all weights (at the last gain only).
    """
    config = Config(k=k, target=gains[-1])
    train = start.pairs.query("task == @source and split == 'train'")
    own = loss_gradient(start.lm, train)[0]
    free = slice(None) if k >= 1 else top_k(own, k)
    way = _Way(start, source, train, own, free)
    rows = []
    try:
        for short in (gain for gain in gains[:-1] if gain < config.delta):
            # one step, unless it brings less than nine tenths of what it promised
            little = replace(config, delta=short, target=0.9 * short + TOLERANCE)
            done = tune(start.lm, train, little)
            rows.append(way.stop(short, done.own_gain))
            set_weights(start.lm.model, start.weights)
        asked = [gain for gain in gains[:-1] if gain >= config.delta]

        def watch(gain: float) -> None:
            while asked and gain > 0.9 * asked[0]:
                stops.append((asked.pop(0), gain, flat_weights(start.lm.model)))

        stops: list[tuple[float, float, torch.Tensor]] = []
        done = tune(start.lm, train, config, watch)
        stops.append((gains[-1], done.own_gain, flat_weights(start.lm.model)))
        for gain, reached, weights in stops:
            set_weights(start.lm.model, weights)
            rows.append(way.stop(gain, reached, ends and gain == gains[-1]))
    finally:
        set_weights(start.lm.model, start.weights)
    return pd.concat(rows, ignore_index=True).assign(source=source, k=k)[COLUMNS]


COLUMNS = ["source", "k", "asked", "gain", "target", "real", "first", "first_train", "on_way",
           "both_ends", "displacement", "own_turn", "turn"]  # fmt: skip


class _Way:
    """What is known of a lesson before it begins, and what is measured at a stop of it."""

    def __init__(self, start: Start, source: str, train, own: torch.Tensor, free) -> None:
        self._start, self._train, self._own, self._free = start, train, own[free], free
        self._me = start.tasks.index(source)
        self._slopes = _dots(start.gradients[:, free], self._own)
        self._size = norm(self._own) ** 2

    def stop(self, asked: float, gain: float, ends: bool = False) -> pd.DataFrame:
        """Rows of `walk` for the weights that the model has now."""
        start, lm, slopes = self._start, self._start.lm, self._slopes
        real = start.margins() - start.margin
        moved = flat_weights(lm.model).double() - start.weights.double()
        on_way = -_dots(start.gradients, moved)
        now = loss_gradient(lm, self._train)[0][self._free]
        with np.errstate(divide="ignore", invalid="ignore"):  # a source without a gradient
            first = real[self._me] * slopes / slopes[self._me]
            first_train = gain * slopes / self._size
        table = pd.DataFrame({
            "asked": asked, "gain": gain, "target": start.tasks, "real": real,
            "first": first, "first_train": first_train, "on_way": on_way, "both_ends": np.nan,
            "displacement": norm(moved) / norm(start.weights),
            "own_turn": _cosine(self._own, now), "turn": np.nan,
        })  # fmt: skip
        if ends:
            there = start.target_gradients()
            table["both_ends"] = (on_way - _dots(there, moved)) / 2
            pairs = zip(start.gradients, there, strict=True)
            table["turn"] = [_cosine(one, other) for one, other in pairs]
        return table


def _dots(rows: torch.Tensor, vector: torch.Tensor) -> np.ndarray:
    wide = vector.double()
    return np.array([float(row.double() @ wide) for row in rows])


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    sizes = norm(one) * norm(other)
    return float(one.double() @ other.double()) / sizes if sizes else np.nan


def walks(
    lm,
    pairs: pd.DataFrame,
    sources: list[str],
    widths: tuple[float, ...],
    gains: tuple[float, ...],
    ends: tuple[float, ...] = (),
) -> pd.DataFrame:
    """Walks on several sources from one model, each computed once: the store keeps them.

    Args:
        pairs: of the source and the targets; see `walk`.
        widths: shares of the weights that may move, `k` of the rows.
        ends: for which of them the targets' gradients are taken at the end, too.

    Returns:
        the rows of `walk`, and seed, scale and step of the model before them.
    """
    about = {
        "kind": "walk", "weights": lm.weights, "gains": list(gains),
        "pairs": store.text_key(map(repr, pairs.itertuples(index=False))),
        "code": store.code_version(ROOM), "method": store.method_version(),
        "versions": store.versions(), **store.hardware(),
    }  # fmt: skip
    start, found = None, []
    for source, k in itertools.product(sources, widths):
        key = store.key_of(one := about | {"source": source, "k": k, "ends": k in ends})
        path = store.store_path("walks", f"{key}.json")
        rows = records.read_record(path)
        if rows is None:
            start = start or Start(lm, pairs)
            rows = walk(start, source, k, gains, k in ends).astype(object)
            rows = rows.where(rows.notna(), None).to_dict("list")
            records.write_record(path, one, rows)
        found.append(pd.DataFrame(rows))
    table = pd.concat(found, ignore_index=True)
    numbers = [name for name in table if name not in ("source", "target")]
    table[numbers] = table[numbers].astype(float)
    keys = {name: lm.keys[name] for name in ("seed", "scale", "step")}
    return table.assign(**keys)[[*keys, *COLUMNS]]
