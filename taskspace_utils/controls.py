"""Controls: a space without a model, and how well what was planted is found again (chapter 8).

A bigram model's gradient differential follows from counts alone, so its task space shows what
neighbouring words explain. The other functions judge a space against a known truth, within strata,
with intervals that draw seeds and items: single cells are not independent (`families.interval`).
Nothing here is stored in run folders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

START = "<start>"  # stands before every sentence
SMOOTHING = 0.5  # added to every count, so that no pair of words is impossible


class Bigram:
    """A bigram model: log P(w | v) = W[v, w] − logsumexp(W[v]), its W estimated from counts.

    Attributes:
        place: row and column of each word.
        p: P(w | v), shape (words, words); a row a word before.
    """

    def __init__(self, lines: Iterable[str], words: Iterable[str]) -> None:
        names = [START, *sorted(set(words))]
        self.place = {name: i for i, name in enumerate(names)}
        counts = self._counts([lines]).toarray().reshape(len(names), len(names)) + SMOOTHING
        self.p = counts / counts.sum(axis=1, keepdims=True)

    def _counts(self, texts: Iterable[Iterable[str]], signs: Iterable[float] = ()) -> csr_matrix:
        """How often w follows v in each text: a sparse row v·n + w a text."""
        n, rows, columns, values = len(self.place), [], [], []
        signs, number = list(signs), 0
        for number, lines in enumerate(texts, 1):
            for i, line in enumerate(lines):
                ids = [0, *(self.place[word] for word in line.split())]
                columns += [v * n + w for v, w in pairwise(ids)]
                rows += [number - 1] * (len(ids) - 1)
                values += [signs[i] if signs else 1.0] * (len(ids) - 1)
        return csr_matrix((values, (rows, columns)), shape=(number, n * n))

    def differences(self, pairs: pd.DataFrame) -> csr_matrix:
        """Counts in good minus counts in bad, a row a pair, a column two words in a row."""
        both = zip(pairs["good"], pairs["bad"], strict=True)
        return self._counts(both, (1.0, -1.0))

    def margins(self, pairs: pd.DataFrame) -> np.ndarray:
        """log P(good) − log P(bad) of each pair, nats."""
        return self.differences(pairs) @ np.log(self.p).ravel()

    def gradient(self, pairs: pd.DataFrame) -> np.ndarray:
        """Gradient of the mean of −m over W, shape (words, words); equation 8.3."""
        counts = np.asarray(self.differences(pairs).mean(axis=0)).reshape(self.p.shape)
        return counts.sum(axis=1, keepdims=True) * self.p - counts

    def space(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """Cosines between tasks, train half against eval half, as in `gradient_space`.

        0 where a gradient is zero.
        """
        names = sorted(pairs["task"].unique())
        units = []
        for half in ("train", "eval"):
            some = pairs[pairs["split"] == half]
            rows = np.stack([self.gradient(some[some["task"] == t]).ravel() for t in names])
            size = np.linalg.norm(rows, axis=1, keepdims=True)
            units.append(rows / np.where(size > 0, size, 1))
        cosine = units[0] @ units[1].T
        return pd.DataFrame((cosine + cosine.T) / 2, index=names, columns=names)


def stratified_auc(
    score: np.ndarray, positive: np.ndarray, strata: np.ndarray
) -> Callable[[np.ndarray], float]:
    """Probability that a positive cell scores above a negative one of the same stratum (ties: ½).

    The mean of the strata's areas under the ROC curve, weighted by how many comparisons each holds;
    NaN where no stratum holds both kinds.

    Returns:
        it as a function of the cells' weights: scores are compared once, for all draws of weights.
    """
    compared = []
    for stratum in np.unique(strata[positive]):
        yes, no = (np.flatnonzero((strata == stratum) & side) for side in (positive, ~positive))
        no = no[np.argsort(score[no])]
        ends = [np.searchsorted(score[no], score[yes], side) for side in ("left", "right")]
        compared.append((yes, no, *ends))

    def auc(weight: np.ndarray) -> float:
        total = area = 0.0
        for yes, no, below, not_above in compared:
            sums = np.concatenate([[0.0], np.cumsum(weight[no])])
            area += weight[yes] @ (sums[below] + sums[not_above]) / 2
            total += weight[yes].sum() * sums[-1]
        return area / total if total else np.nan

    return auc


def crossed_interval(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    seeds: int,
    items: int,
    draws: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic, for other seeds and other items at once.

    Of n seeds n − 1 are drawn: drawing n would make the interval of a mean too short by (n − 1)/n,
    and seeds are few (`measured.estimate` does the same).

    Args:
        statistic: a function of the places of the seeds and of the items that were drawn.
    """
    rng, drawn = np.random.default_rng(seed), max(1, seeds - 1)
    return _middle(
        [
            statistic(rng.integers(seeds, size=drawn), rng.integers(items, size=items))
            for _ in range(draws)
        ]
    )


def _middle(found: list[float]) -> tuple[float, float]:
    kept = [value for value in found if np.isfinite(value)]
    if not kept:
        return np.nan, np.nan
    low, high = np.quantile(kept, [0.025, 0.975])
    return float(low), float(high)


def partial_rank(x: np.ndarray, y: np.ndarray, *given: np.ndarray) -> float:
    """Spearman correlation of x and y with the ranks of others partialled out of both."""
    ranks = [rankdata(v) for v in (x, y, *given)]
    rest = np.column_stack([np.ones(len(x)), *ranks[2:]])
    left = [v - rest @ np.linalg.lstsq(rest, v, rcond=None)[0] for v in ranks[:2]]
    sizes = [np.linalg.norm(v) for v in left]
    if min(sizes) < 1e-6:  # the others say all there is to say of one of them
        return np.nan
    return float(left[0] @ left[1] / (sizes[0] * sizes[1]))
