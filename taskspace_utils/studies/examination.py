"""The examination of chapter 8: a space judged by a truth that was planted, and by controls.

An `Examination` asks whether the planted rules are found in a space, and a `Ledger` holds what a
control should give against what it gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from taskspace_utils import families
from taskspace_utils.controls import stratified_auc
from taskspace_utils.hypotheses import same_label, signed_sharing

QUESTIONS = {  # which pairs of tasks should be more alike than which
    "same rule": (["same rule"], ["unrelated"]),
    "other rule, shared demand": (["shared demand"], ["unrelated"]),
    "sign": (["same rule", "shared demand"], ["opposed"]),
}
EDGES = [-1.01, -0.4, -0.1, 0.1, 0.4, 1.01]  # of the strata of lexical_diff


class Found(NamedTuple):
    """A number and the ends of its 95 % interval, NaN where there is none."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Examination:
    """What was planted: how each two tasks are related, and with which they can be compared.

    Attributes:
        kinds: "own", "same rule", "shared demand", "opposed" or "unrelated", tasks by tasks.
        draws: of families, for every interval.
    """

    def __init__(self, labels: pd.DataFrame, words: pd.DataFrame, draws: int = 200) -> None:
        """
        Args:
            labels: columns task, family, field, frame, demands; indexed by task.
            words: `lexical_diff` as a space of at least these tasks.
        """
        names = list(labels.index)
        self.draws, self.names = draws, names
        self._upper = np.triu_indices(len(names), 1)
        rule, control = (labels[c].to_numpy() for c in ("family", "field"))
        self._one, self._other = (rule[side] for side in self._upper)
        planted = self._cells(signed_sharing(labels))
        frame = self._cells(same_label(labels, "frame"))
        self._kind = np.select(
            [self._one == self._other, planted > 0, planted < 0],
            ["same rule", "shared demand", "opposed"],
            "unrelated",
        )
        kinds = np.full((len(names), len(names)), "own", dtype=object)
        kinds[self._upper] = kinds.T[self._upper] = self._kind
        self.kinds = pd.DataFrame(kinds, index=names, columns=names)
        lexical = pd.cut(self._cells(words), EDGES, labels=False)
        self._stratum = 2 * lexical + frame.astype(int)
        controls = control == "control"
        self._no_rule = controls[self._upper[0]] | controls[self._upper[1]]

    def _cells(self, space: pd.DataFrame) -> np.ndarray:
        return space.loc[self.names, self.names].to_numpy()[self._upper]

    def _used(self, question: str) -> np.ndarray:
        """Shams have no rule of grammar; three of them were planted to ask for signs."""
        yes, no = QUESTIONS[question]
        return np.isin(self._kind, yes + no) & (~self._no_rule | (question == "sign"))

    def compared(self) -> pd.DataFrame:
        """How many pairs of tasks each question compares, a row a question."""
        rows = {}
        for question, sides in QUESTIONS.items():
            use = self._used(question)
            rows[question] = [int((np.isin(self._kind, side) & use).sum()) for side in sides]
        return pd.DataFrame(rows, index=["pairs", "against"]).T

    def auc(
        self, space: pd.DataFrame, question: str = "same rule", minus: pd.DataFrame | None = None
    ) -> Found:
        """Area under the curve within strata; with `minus`, how much larger than in that space.

        Cells that a space lacks are left out of both. There is no interval where one side of a
        comparison holds fewer than two couples of families.
        """
        use = self._used(question)
        given = [self._cells(some) for some in (space, minus) if some is not None]
        for values in given:
            use &= np.isfinite(values)
        positive = np.isin(self._kind, QUESTIONS[question][0])[use]
        one, other, strata = (of[use] for of in (self._one, self._other, self._stratum))

        of_each = [stratified_auc(values[use], positive, strata) for values in given]

        def statistic(weight: np.ndarray) -> float:
            found = [auc(weight) for auc in of_each]
            return found[0] - sum(found[1:])

        whole = statistic(np.ones(len(positive)))
        couples = [{*zip(one[side], other[side], strict=True)} for side in (positive, ~positive)]
        if min(map(len, couples)) < 2:
            return Found(whole, np.nan, np.nan)
        return Found(whole, *families.interval(statistic, one, other, self.draws))

    def beyond(self, space: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
        """A space without what another explains of it: a line through unrelated pairs of tasks."""
        unrelated = (self._kind == "unrelated") & ~self._no_rule
        x, y = (self._cells(some)[unrelated] for some in (given, space))
        x = x - x.mean()
        return space - x @ y / max(x @ x, 1e-12) * given

    def repeatability(self, halves: pd.DataFrame) -> Found:
        """Reliability of a space's cells from two measurements of each (8.1): 2r / (1 + r).

        Args:
            halves: one measurement above the diagonal, the other below.
        """
        x, y = self._cells(halves), self._cells(halves.T)

        def statistic(weight: np.ndarray | None = None) -> float:
            weight = np.ones(len(x)) if weight is None else weight
            if (weight > 0).sum() < 3:
                return np.nan  # families were drawn that hold too few cells
            r = np.cov(x, y, aweights=weight)
            r = r[0, 1] / np.sqrt(r[0, 0] * r[1, 1])
            return max(0.0, 2 * r / (1 + r))

        return Found(statistic(), *families.interval(statistic, self._one, self._other, self.draws))


class Ledger:
    """What each control should give, what it gives, and the same number of real tasks."""

    def __init__(self) -> None:
        self._rows = []

    def note(
        self,
        control: str,
        statistic: str,
        expected: float,
        found: Iterable[float],
        real_tasks: float = np.nan,
    ) -> str:
        """Write a line down, and return it to be read.

        Args:
            found: a value and the ends of its interval.
        """
        value, low, high = found
        holds = "–" if np.isnan(low) else "yes" if low - 0.005 <= expected <= high + 0.005 else "NO"
        said = str(Found(value, low, high))
        self._rows.append((control, statistic, f"{expected:.2f}", said, holds, real_tasks))
        return f"{control}, {statistic}: expected {expected:.2f}, found {said}"

    def table(self) -> pd.DataFrame:
        """A row a line; `inside` says whether the interval holds what was expected."""
        columns = ["control", "statistic", "expected", "found", "inside", "real tasks"]
        return pd.DataFrame(self._rows, columns=columns).set_index("control")


def mean_of(values: np.ndarray, draws: int = 200) -> Found:
    """A mean with an interval from drawing the values anew; NaN of fewer than three."""
    values = np.asarray(values, float)
    if len(values) < 3:
        return Found(np.nan, np.nan, np.nan)
    again = np.random.default_rng(0).choice(values, (draws, len(values))).mean(axis=1)
    return Found(values.mean(), *np.quantile(again, [0.025, 0.975]))


def middle_of(values: np.ndarray) -> Found:
    """A mean of draws with the interval that holds 95 % of them."""
    return Found(np.mean(values), *np.quantile(values, [0.025, 0.975]))


def share_above(values: np.ndarray, limit: float = 0.95) -> Found:
    """Share of values above a limit, with the exact binomial interval; NaN of fewer than three."""
    if len(values) < 3:
        return Found(np.nan, np.nan, np.nan)
    above = np.asarray(values) > limit
    ends = binomtest(int(above.sum()), len(above)).proportion_ci()
    return Found(above.mean(), ends.low, ends.high)


def survival(cells: pd.DataFrame, rule: pd.Series, draws: int = 200) -> Found:
    """Which share of a value is left: the slope through the origin of `apart` over `shared`.

    Args:
        cells: columns a, b, shared, apart.
        rule: the family of each task, which the interval draws.
    """
    x, y = cells["shared"].to_numpy(), cells["apart"].to_numpy()

    def slope(weight: np.ndarray | None = None) -> float:
        weight = np.ones(len(x)) if weight is None else weight
        return (weight * x * y).sum() / max((weight * x * x).sum(), 1e-12)

    ends = families.interval(slope, cells["a"].map(rule), cells["b"].map(rule), draws)
    return Found(slope(), *ends)
