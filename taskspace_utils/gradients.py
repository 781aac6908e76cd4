"""The gradient space: what the tasks' gradient differentials share (chapter 7).

The gradients of all tasks do not fit in memory beside a large model, and need not: each is written
to a file as soon as it is known, and what is asked of all of them is added up piece by piece.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from taskspace_utils.ftgd import (
    SAMPLED,
    candidates,
    embedding_names,
    loss_gradient,
    parameters,
    probable_least,
)
from taskspace_utils.models import LanguageModel
from taskspace_utils.store import InputError, store_path

MIN_RELIABILITY = 0.5  # below it, a task has no gradient stable enough to correct a cosine by
PIECE = 2**14  # parameters of all gradients held at once: they stay in a processor's cache
HALF_WIDTH_ABOVE = 1e8  # parameters; gradients of larger models are kept in bfloat16


def gradient_space(
    lm: LanguageModel, pairs: pd.DataFrame, k: float = 0.01
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cosines, overlaps and energies of all tasks' gradient differentials (chapter 7).

    Each task has two gradients, from its train and from its eval pairs. What is compared between
    two tasks always comes from disjoint pairs: train of one with eval of the other, averaged over
    both ways where the measure is symmetric; so the diagonal is a task's split-half reliability.

    Args:
        pairs: all tasks' pairs with `split` filled.
        k: share of the parameters whose overlap is measured.

    Returns:
        One row an ordered pair of tasks (columns of `gradient.csv` from `a` on; `dot` is
        ⟨g_a train, g_b eval⟩ and `dot_masked` the same over the top k of g_a train), and one row a
        task (columns of `tasks.csv` from `task` on, but for `bag_accuracy`).

    Raises:
        InputError: the disk has no room for the file of gradients.
    """
    names = sorted(pairs["task"].unique())
    n = len(names)
    with _Gradients(lm.model, 2 * n, k) as gradients:
        facts = [
            _facts_of(lm, pairs[pairs["task"] == task], gradients, (i, i + n))
            for i, task in enumerate(names)
        ]
        sums = _sums(gradients, n)
    size = np.sqrt(sums.squares)
    cosine = _both_ways(sums.dots, size)
    reliability = np.diag(cosine).copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        stable = np.where(reliability >= MIN_RELIABILITY, reliability, np.nan)
        columns = {
            "cosine": cosine,
            "cosine_corrected": cosine / np.sqrt(np.outer(stable, stable)),
            "cosine_blocks": _both_ways(sums.dots_blocks, np.sqrt(sums.squares_blocks)),
            "overlap": sums.shared / gradients.count,
            "overlap_lift": sums.shared / sums.chance,
            "overlap_blocks": sums.shared_blocks / gradients.count_blocks,
            "energy": sums.energy,
            "dot": sums.dots,
            "dot_masked": sums.dots_masked,
        }
    a, b = np.divmod(np.arange(n * n), n)
    space = pd.DataFrame({"a": np.array(names)[a], "b": np.array(names)[b]})
    for name, values in columns.items():
        space[name] = values[a, b]
    space["k"] = k
    found = pd.DataFrame(facts)
    found.insert(2, "norm", (size[:n] + size[n:]) / 2)
    found.insert(3, "reliability", reliability)
    halves = pairs.groupby("task")["split"].agg(lambda s: set(s) >= {"train", "eval"})
    found["flag"] = [
        _flag(size[i] * size[i + n], reliability[i])
        if halves[task]
        else "no train pairs or no eval pairs"
        for i, task in enumerate(names)
    ]
    return space, found


def predicted_transfer(space: pd.DataFrame, gain: pd.Series, masked: bool) -> pd.DataFrame:
    """First-order prediction of transfer: G·⟨M g_A, g_B⟩ / ⟨M g_A, g_A⟩, train against eval halves.

    Chapter 7, equation 7.4.

    Args:
        space: rows of `gradient.csv` of one model.
        gain: the source's own gain G on its eval pairs, nats, by task.
        masked: whether the tuning was masked.

    Returns:
        columns source, target, predicted (nats).
    """
    dots = space.pivot(index="a", columns="b", values="dot_masked" if masked else "dot")
    ratio = dots.div(np.diag(dots.to_numpy()), axis=0).mul(gain.reindex(dots.index), axis=0)
    long = ratio.stack().rename("predicted").reset_index()
    return long.rename(columns={"a": "source", "b": "target"})


def _flag(size: float, reliability: float) -> str:
    if not np.isfinite(size):
        return "gradient not finite"
    if size == 0:
        return "zero gradient"
    return "unreliable gradient" if reliability < MIN_RELIABILITY else ""


# --------------------------------------------------------------------------- the file of gradients


@dataclass
class _Top:
    """The top k of each row: |g| above its threshold, or at it up to the place `last`."""

    threshold: torch.Tensor  # (rows,)
    last: torch.Tensor
    tied: set[int]  # rows in which more values are at the threshold than belong

    def of(self, sizes: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Which of |g|, (rows, places), are in it: 1 or 0."""
        inside = sizes >= self.threshold[:, None]
        for row in self.tied:
            inside[row] &= (sizes[row] > self.threshold[row]) | (places <= self.last[row])
        return inside.float()

    def set(self, row: int, values: torch.Tensor, places: torch.Tensor, count: int) -> torch.Tensor:
        """Find a row's top among candidates (|g|, ascending places); return where it may be."""
        threshold = torch.topk(values, count, sorted=False).values.min()
        equal = places[values == threshold]
        belong = count - int((values > threshold).sum())
        if len(equal):  # of a gradient that isn't finite nothing is
            self.threshold[row], self.last[row] = threshold, equal[belong - 1]
            if belong < len(equal):
                self.tied.add(row)
        return places[values >= threshold]


class _Gradients:
    """Gradients of one model, a row each, in a file that has no name and so goes with its owner."""

    def __init__(self, model: torch.nn.Module, rows: int, k: float) -> None:
        embeddings, device = embedding_names(model), next(model.parameters()).device
        self.sizes = [p.numel() for p in parameters(model).values()]
        self.in_blocks = [name not in embeddings for name in parameters(model)]
        self.edges = [0, *itertools.accumulate(self.sizes)]
        self.rows, self.device = rows, device
        self.kind = torch.bfloat16 if self.edges[-1] > HALF_WIDTH_ABOVE else torch.float32
        self.count = max(1, round(k * self.edges[-1]))
        self.count_blocks = round(k * sum(itertools.compress(self.sizes, self.in_blocks)))
        self.count_blocks = max(1, self.count_blocks) if any(self.in_blocks) else 0
        self.topmost = np.zeros(self.edges[-1] // 8 + 1, np.uint8)  # a bit: in some row's top
        none = torch.full((rows,), torch.inf, device=device), torch.full((rows,), -1, device=device)
        self.top = _Top(*none, set())
        self.top_blocks = _Top(none[0].clone(), none[1].clone(), set())

    def __enter__(self) -> _Gradients:
        folder = store_path("scratch")
        folder.mkdir(parents=True, exist_ok=True)
        needed = self.rows * self.edges[-1] * self.kind.itemsize
        if (free := shutil.disk_usage(folder).free) < needed:
            raise InputError(
                f"{folder}: {self.rows} gradients of {self.edges[-1] / 1e6:.0f} million parameters "
                f"take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: make room, name "
                "another disk with TASKSPACES_STORE, or probe fewer tasks"
            )
        self.file = tempfile.TemporaryFile(dir=folder)
        return self

    def __exit__(self, *_) -> None:
        self.file.close()

    def put(self, row: int, gradient: torch.Tensor) -> None:
        """Keep a gradient, shape (P,), as a row."""
        self.file.seek(row * self.edges[-1] * self.kind.itemsize)
        for part in gradient.split(2**22):
            self.file.write(part.to(self.kind).cpu().view(torch.uint8).numpy())
        places = self._candidates(gradient)
        values = gradient[places].to(self.kind).float().abs()  # as they will be read again
        self._mark(self.top.set(row, values, places, self.count))
        if self.count_blocks:
            inner = self._inner(places)
            inner = values[inner], places[inner]
            self._mark(self.top_blocks.set(row, *inner, self.count_blocks))

    def _mark(self, places: torch.Tensor) -> None:
        at = places.cpu().numpy()
        np.bitwise_or.at(self.topmost, at >> 3, (128 >> (at & 7)).astype(np.uint8))

    def marked(self, start: int, count: int) -> torch.Tensor:
        """Which of these places are in some row's top, counted from `start`."""
        first = start // 8
        bits = np.unpackbits(self.topmost[first : (start + count) // 8 + 1])[start - 8 * first :]
        return torch.from_numpy(np.flatnonzero(bits[:count])).to(self.device)

    def _candidates(self, gradient: torch.Tensor) -> torch.Tensor:
        """Ascending places that hold the top k of all, and that of the blocks."""
        if not self.count_blocks:
            return candidates(gradient, self.count)
        sample = torch.arange(0, len(gradient), SAMPLED, device=gradient.device)
        sample = gradient[sample[self._inner(sample)]].abs()
        found = candidates(gradient, self.count, probable_least(sample, self.count_blocks))
        if int(self._inner(found).sum()) >= self.count_blocks:
            return found
        return torch.arange(len(gradient), device=gradient.device)

    def _inner(self, places: torch.Tensor) -> torch.Tensor:
        """Which places belong to blocks, not to single tokens or positions."""
        edges = torch.tensor(self.edges[1:], device=places.device)
        number = torch.searchsorted(edges, places, right=True)
        return torch.tensor(self.in_blocks, device=places.device)[number]

    def blocks(self, gradient: torch.Tensor) -> list[torch.Tensor]:
        """The parts of a gradient that belong to blocks."""
        return list(itertools.compress(gradient.split(self.sizes), self.in_blocks))

    def read(self, row: int, start: int, into: torch.Tensor) -> None:
        """A row from place `start` on, as much as `into` holds, float32."""
        part = into if self.kind is into.dtype else torch.empty(len(into), dtype=self.kind)
        self.file.seek((row * self.edges[-1] + start) * self.kind.itemsize)
        self.file.readinto(part.view(torch.uint8).numpy())
        if part is not into:
            into.copy_(part)

    def pieces(self) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Number of a parameter, a place in the long vector, and all rows from there on.

        The table of rows is the same one each time, with other numbers in it.
        """
        table = torch.empty(self.rows, PIECE)
        for number, (first, end) in enumerate(itertools.pairwise(self.edges)):
            for start in range(first, end, PIECE):
                count = min(PIECE, end - start)
                for row in range(self.rows):
                    self.read(row, start, table[row, :count])
                yield number, start, table[:, :count].to(self.device)


def _facts_of(
    lm: LanguageModel, some: pd.DataFrame, gradients: _Gradients, rows: tuple[int, int]
) -> dict:
    """Keep the two gradients of a task, and tell how spread out their mean is."""
    gradient = None  # at no time are there two
    for half, row in zip(("train", "eval"), rows, strict=True):
        del gradient
        gradient = loss_gradient(lm, some[some["split"] == half])[0].float()
        gradients.put(row, gradient)
    first = torch.empty(min(2**22, len(gradient)))
    for start in range(0, len(gradient), len(first)):  # the mean takes the place of the second
        part = gradient[start : start + len(first)]
        gradients.read(rows[0], start, first[: len(part)])
        part.add_(first[: len(part)].to(part.device)).div_(2)
    return {
        "task": some["task"].iloc[0],
        "phenomenon": some["phenomenon"].iloc[0],
        **_distribution(gradient, gradients.blocks(gradient)),
        "family": str(some["family"].iloc[0]) if "family" in some else "",
        "sham_of": str(some["sham_of"].iloc[0]) if "sham_of" in some else "",
    }


def _distribution(gradient: torch.Tensor, blocks: list[torch.Tensor]) -> dict:
    """Participation, shares of the energy in the largest |g|, and the embeddings' share."""
    energy = _energy(gradient)
    if not energy > 0:
        names = ("participation", "top_001", "top_01", "top_10", "embedding_share")
        return dict.fromkeys(names, np.nan)
    counts = [max(1, round(part * len(gradient))) for part in (0.001, 0.01, 0.1)]
    largest = gradient[candidates(gradient, counts[-1])].abs().cpu().numpy()
    largest.partition([len(largest) - count for count in counts])
    squares = np.square(largest, dtype=float)
    top_001, top_01, top_10 = (float(squares[-count:].sum()) / energy for count in counts)
    fourth = sum(_energy(part.square()) for part in gradient.split(PIECE))
    return {
        "participation": energy**2 / (len(gradient) * fourth),
        "top_001": top_001,
        "top_01": top_01,
        "top_10": top_10,
        "embedding_share": 1 - sum(map(_energy, blocks)) / energy,
    }


def _energy(vector: torch.Tensor) -> float:
    return sum(float(torch.linalg.vector_norm(part)) ** 2 for part in vector.split(2**18))


# -------------------------------------------------------------------- sums over all of their places


@dataclass
class _Sums:
    """What two tasks' gradients share, added up over places: train halves by eval halves, (n, n).

    `shared`, `chance`, `shared_blocks` and `energy` are means of both ways.
    """

    squares: np.ndarray  # (2n,)
    squares_blocks: np.ndarray
    dots: np.ndarray  # (n, n), and so all that follow
    dots_blocks: np.ndarray
    dots_masked: np.ndarray
    shared: np.ndarray
    shared_blocks: np.ndarray
    chance: np.ndarray
    energy: np.ndarray


def _sums(gradients: _Gradients, n: int) -> _Sums:
    square = np.zeros((n, n))
    found = _Sums(np.zeros(2 * n), np.zeros(2 * n), *(square.copy() for _ in range(7)))
    other_way = square.copy()
    counts = np.zeros((len(gradients.sizes), 2 * n))
    for number, start, rows in gradients.pieces():
        inner = gradients.in_blocks[number]
        dots = _product(rows[:n], rows[n:])
        squares = torch.linalg.vector_norm(rows, dim=1).cpu().double().square().numpy()
        found.dots += dots
        found.squares += squares
        # The tops are asked about at the few places only that are in some task's.
        places = gradients.marked(start, rows.shape[1])
        rows = rows[:, places]
        places, sizes, squared = places + start, rows.abs(), rows.square()
        top = gradients.top.of(sizes, places)
        counts[number] += top.sum(1).cpu().double().numpy()
        found.dots_masked += _product(rows[:n] * top[:n], rows[n:])
        found.shared += _product(top[:n], top[n:])
        found.energy += _product(top[:n], squared[n:])
        other_way += _product(top[n:], squared[:n])
        if inner:
            found.dots_blocks += dots
            found.squares_blocks += squares
            top = gradients.top_blocks.of(sizes, places)
            found.shared_blocks += _product(top[:n], top[n:])
    with np.errstate(invalid="ignore", divide="ignore"):
        found.energy = (found.energy / found.squares[n:] + other_way / found.squares[:n]) / 2
    found.shared, found.shared_blocks = _mean(found.shared), _mean(found.shared_blocks)
    share = counts / np.array(gradients.sizes)[:, None]
    found.chance = _mean(share[:, :n].T @ counts[:, n:])
    return found


def _product(left: torch.Tensor, right: torch.Tensor) -> np.ndarray:
    return (left @ right.T).cpu().double().numpy()


def _mean(square: np.ndarray) -> np.ndarray:
    return (square + square.T) / 2


def _both_ways(dots: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Cosines of the first task's train with the second's eval half, and the other way round."""
    n = len(dots)
    with np.errstate(invalid="ignore", divide="ignore"):
        return _mean(dots / np.outer(size[:n], size[n:]))
