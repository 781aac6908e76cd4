"""Blocks of pairs: how far a task's place in the gradient space depends on which pairs it has.

A gradient space has one number for two tasks and no interval. Here each half of a task's pairs is
cut into blocks, and each block gives a gradient. The gradient of a mean is the mean of gradients,
so any redrawing of blocks, and any swap of good and bad in some of them, is a matter of adding up.
Only the rows of the tasks that are to be placed are kept, in a file; other tasks pass by one by
one.
"""

from __future__ import annotations

import shutil
import tempfile

import numpy as np
import pandas as pd

from taskspace_utils.ftgd import loss_gradient, parameters
from taskspace_utils.gradients import MIN_RELIABILITY
from taskspace_utils.models import LanguageModel
from taskspace_utils.store import InputError, store_path

BLOCKS = 6  # into which each half of a task's pairs is cut
DRAWS = 400  # of blocks, and of swaps
PIECE = 2**16  # parameters of which inner products are taken at once


def placement(
    lm: LanguageModel, pairs: pd.DataFrame, own: list[str], draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """Where tasks stand among all tasks, with intervals from redrawn blocks of pairs (chapter 13).

    As in `gradient_space`, a cosine compares one task's train half with the other's eval half, mean
    of both ways. Blocks are redrawn with replacement within each half of each task; an interval is
    the 95 % range of the draws about their mean, widened by √(B / (B − 1)) for B blocks, and moved
    to the cosine of all pairs (redrawn gradients hold more noise, so their cosines are smaller).

    Args:
        pairs: all tasks' pairs with `split` filled.
        own: the tasks to place.

    Returns:
        One row for each task `a` of `own` and each task `b`, columns of `placement.csv` from `a`
        on: cosine, low, high; the same corrected for both tasks' reliability, NaN where one of them
        has less than one half; nearest (share of draws in which `b` is the nearest reliable task);
        above_flips (share of versions of `a`, with good and bad swapped in half of its blocks, that
        have no |cosine| as large with any task: `b` may be the largest of many, and so is theirs).
        Where b is a, the cosine is the reliability.

    Raises:
        InputError: a task to place isn't there; the disk has no room for the gradients.
    """
    names = sorted(pairs["task"].unique())
    if missing := [task for task in own if task not in names]:
        raise InputError(f"there is no task {', '.join(missing)} to place")
    rng = np.random.default_rng(seed)
    dots, inside, counts = _products(lm, pairs, names, own)
    drawn = [
        np.stack([_drawn(rng, counts[b][half], draws) for half in (0, 1)])
        for b in range(len(names))
    ]
    own_half = [_half(inside[b], drawn[b]) for b in range(len(names))]
    reliable = np.array([whole >= MIN_RELIABILITY for whole, _ in own_half])
    rows = []
    for i, task in enumerate(own):
        place = names.index(task)
        swaps = np.stack([_swapped(rng, n, draws) for n in counts[place]])
        turned = [_both_ways(dots[i, b], inside[[place, b]], (swaps, np.ones_like(swaps)))[1]
                  for b in range(len(names)) if b != place]  # fmt: skip
        largest = np.abs(turned).max(axis=0) if turned else np.zeros(draws)
        found = []
        for b, other in enumerate(names):
            weights = drawn[place], drawn[b]
            cosine, again = _both_ways(dots[i, b], inside[[place, b]], weights)
            noise = np.sqrt(np.maximum(own_half[place][0] * own_half[b][0], 1e-12))
            redrawn = np.sqrt(np.maximum(own_half[place][1] * own_half[b][1], 1e-3))
            both = reliable[place] and reliable[b]
            corrected = cosine / noise if both else np.nan
            fair = again / redrawn if both and b != place else np.full(draws, np.nan)
            few = min(*counts[place], *counts[b])
            ends = np.clip(_ends(cosine, again, few), -1, 1), _ends(corrected, fair, few)
            above = np.mean(largest < abs(cosine)) if b != place else np.nan
            found.append(((task, other, cosine, *ends[0], corrected, *ends[1]), fair, above))
        near = _nearest(np.array([fair for _, fair, _ in found]))
        rows += [(*row, near[b], above) for b, (row, _, above) in enumerate(found)]
    columns = ["a", "b", "cosine", "low", "high", "corrected", "corrected_low", "corrected_high"]
    return pd.DataFrame(rows, columns=[*columns, "nearest", "above_flips"])


def _nearest(found: np.ndarray) -> np.ndarray:
    """In which share of draws each task is the nearest; NaN for those that can't be."""
    able = np.isfinite(found).all(axis=1)
    if not able.any():
        return np.full(len(found), np.nan)
    winners = np.argmax(np.where(able[:, None], found, -np.inf), axis=0)
    return np.where(able, np.bincount(winners, minlength=len(found)) / found.shape[1], np.nan)


def _ends(value: float, drawn: np.ndarray, blocks: int) -> tuple[float, float]:
    if blocks < 2 or not np.isfinite(drawn).all():
        return np.nan, np.nan
    low, high = np.quantile(drawn - drawn.mean(), [0.025, 0.975]) * np.sqrt(blocks / (blocks - 1))
    return value + low, value + high


def _drawn(rng: np.random.Generator, blocks: int, draws: int) -> np.ndarray:
    """How often each block counts: all of them once, then redrawn; shape (1 + draws, BLOCKS)."""
    weights = np.zeros((1 + draws, BLOCKS))
    weights[0, :blocks] = 1
    weights[1:, :blocks] = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws)
    return weights


def _swapped(rng: np.random.Generator, blocks: int, draws: int) -> np.ndarray:
    """Signs of blocks, half of them turned; the first row is a draw too."""
    signs = np.zeros((1 + draws, BLOCKS))
    signs[:, :blocks] = rng.permuted(
        np.tile(np.where(np.arange(blocks) < blocks / 2, 1.0, -1.0), (1 + draws, 1)), axis=1
    )
    return signs


def _sizes(inside: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Lengths of redrawn half gradients, shape (draws,); infinite where only rounding is left."""
    squares = np.einsum("dp,pq,dq->d", weights, inside, weights)
    rounding = 1e-6 * np.einsum("dp,p->d", np.square(weights), np.diag(inside))
    return np.sqrt(np.where(squares > rounding, squares, np.inf))


def _half(inside: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Cosine of a task's own two halves: of all pairs, and redrawn."""
    dots = np.einsum("dp,pq,dq->d", weights[0], inside[:BLOCKS, BLOCKS:], weights[1])
    sizes = _sizes(inside[:BLOCKS, :BLOCKS], weights[0])
    found = dots / (sizes * _sizes(inside[BLOCKS:, BLOCKS:], weights[1]))
    return float(found[0]), found[1:]


def _both_ways(
    dots: np.ndarray, inside: np.ndarray, weights: tuple[np.ndarray, np.ndarray]
) -> tuple[float, np.ndarray]:
    """Mean cosine of train with eval and of eval with train: of the first weights, and of others.

    Args:
        dots: ⟨block of a, block of b⟩, shape (2·BLOCKS, 2·BLOCKS), train blocks first.
        inside: the same of a with itself and of b with itself, (2, 2·BLOCKS, 2·BLOCKS).
        weights: how often each block counts, of a and of b: (2, draws, BLOCKS) each.
    """
    u, v = weights
    halves = slice(0, BLOCKS), slice(BLOCKS, 2 * BLOCKS)
    total = 0.0
    for mine, its in ((0, 1), (1, 0)):
        across = np.einsum("dp,pq,dq->d", u[mine], dots[halves[mine], halves[its]], v[its])
        length = _sizes(inside[0][halves[mine], halves[mine]], u[mine])
        total = total + across / (length * _sizes(inside[1][halves[its], halves[its]], v[its])) / 2
    return float(total[0]), total[1:]


# ------------------------------------------------------------------------- gradients and products


def _products(lm: LanguageModel, pairs: pd.DataFrame, names: list[str], own: list[str]):
    """Inner products of blocks: of own tasks with all, (own, tasks, 2B, 2B); of each task inside.

    A block's gradient is weighted by its number of pairs, so that a half's is their sum.
    """
    size = sum(p.numel() for p in parameters(lm.model).values())
    rows, needed = 2 * BLOCKS, (len(own) + 1) * 2 * BLOCKS * size * 4
    folder = store_path("scratch")
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < needed:
        raise InputError(
            f"{folder}: the gradients of {len(own)} tasks in {rows} parts take {needed / 1e9:.1f} "
            f"GB, and {free / 1e9:.1f} GB are free: make room, place fewer tasks, or name another "
            "disk with TASKSPACES_STORE"
        )
    dots = np.zeros((len(own), len(names), rows, rows))
    inside, counts = np.zeros((len(names), rows, rows)), []
    with tempfile.TemporaryFile(dir=folder) as file:
        kept = np.memmap(file, np.float32, "w+", shape=(len(own) + 1, rows, size))
        number = {task: _fill(lm, pairs, task, kept[i]) for i, task in enumerate(own)}
        for b, task in enumerate(names):
            here = kept[own.index(task)] if task in own else kept[len(own)]
            counts.append(number[task] if task in own else _fill(lm, pairs, task, here))
            for start in range(0, size, PIECE):
                part = np.asarray(here[:, start : start + PIECE])
                inside[b] += part @ part.T
                for i in range(len(own)):
                    dots[i, b] += np.asarray(kept[i, :, start : start + PIECE]) @ part.T
        del kept
    return dots, inside, counts


def _fill(lm: LanguageModel, pairs: pd.DataFrame, task: str, rows: np.ndarray) -> tuple[int, int]:
    """Write the gradients of a task's blocks; return how many blocks each half has.

    Pairs of an item stay in one block: torn apart, they would be redrawn as if they were unrelated.
    """
    some, found = pairs[pairs["task"] == task], []
    rows[:] = 0
    for half, split in enumerate(("train", "eval")):
        side = some[some["split"] == split]
        whole: dict[tuple, int] = {}
        names = zip(side["item"], side["pair_id"], strict=True)
        part = np.array([whole.setdefault((item, "" if item else pair), len(whole)) % BLOCKS
                         for item, pair in names], dtype=int)  # fmt: skip
        for block in range(min(BLOCKS, len(whole))):
            chosen = side[part == block]
            gradient = loss_gradient(lm, chosen)[0].float().cpu().numpy()
            rows[half * BLOCKS + block] = gradient * (len(chosen) / len(side))
        found.append(min(BLOCKS, len(whole)))
    return found[0], found[1]
