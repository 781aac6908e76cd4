"""How to compare speeds fairly: rounds, ratios, and reasons not to print a ratio.

Everything is CPU time of one thread in one process. The methods of a race take turns, so that a
slow minute slows all of them; a ratio is taken within each round, and the median over rounds is
reported with the smallest and the largest. The rate of a plain matrix product is measured before
and after: a machine that changed meanwhile has no ratio to give.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import torch

DRIFT = 0.05  # largest change of the matrix product's rate between before and after
SCATTER = 0.10  # largest spread of a method's own rounds: interquartile range over median
SIDE = 768  # of the square matrices


def sgemm_rate(side: int = SIDE, seconds: float = 1.0) -> float:
    """Floating-point operations a CPU second of a float32 matrix product; the median of many."""
    a, b = torch.randn(2, side, side, generator=torch.Generator().manual_seed(0))
    rates: list[float] = []
    began = time.process_time()
    a @ b  # the first call sets up threads and buffers
    while len(rates) < 5 or time.process_time() - began < seconds:
        start = time.process_time()
        for _ in range(4):
            a @ b
        rates.append(4 * 2 * side**3 / (time.process_time() - start))
    return median(rates)


@dataclass
class Race:
    """CPU seconds of each method in each round, and the matrix product's rate around them."""

    rounds: dict[str, list[float]] = field(default_factory=dict)
    sgemm_before: float = 0.0
    sgemm_after: float = 0.0
    attempts: int = 1
    results: dict[str, object] = field(default_factory=dict)

    def seconds(self, method: str) -> float:
        """Median CPU seconds of a method."""
        return median(self.rounds[method])


def race(
    methods: dict[str, Callable[[], object]],
    rounds: int = 5,
    rate: Callable[[], float] = sgemm_rate,
    clock: Callable[[], float] = time.process_time,
    warm: bool = True,
    attempts: int = 1,
    against: str | None = None,
) -> Race:
    """Let methods take turns, in an order that moves on by one each round.

    Args:
        methods: what is timed, by name; each returns its answer, the last of which is kept.
        rate: speed of the machine, asked before and after.
        warm: whether each runs once before, untimed.
        attempts: how often the whole race may be run when the machine drifted.
        against: the reference method whose scatter matters; the first by default.
    """
    names = list(methods)
    for attempt in range(1, attempts + 1):
        found = Race({name: [] for name in names}, attempts=attempt)
        if warm and attempt == 1:
            for method in methods.values():
                method()
        found.sgemm_before = rate()
        for turn in range(rounds):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                gc.collect()  # the rubbish of one method isn't swept up at another's expense
                start = clock()
                found.results[name] = methods[name]()
                found.rounds[name].append(clock() - start)
        found.sgemm_after = rate()
        if not drift(found, against or names[0]):
            break
    return found


def scatter(values: list[float]) -> float:
    """Spread of a method's rounds: interquartile range over median."""
    low, high = torch.tensor(values, dtype=torch.float64).quantile(
        torch.tensor([0.25, 0.75], dtype=torch.float64)
    )
    return float(high - low) / median(values)


def drift(found: Race, against: str) -> str:
    """Why no ratio of this race may be printed; "" if it may."""
    change = found.sgemm_after / found.sgemm_before - 1
    if abs(change) > DRIFT:
        return f"the matrix product's rate changed by {change:+.1%} meanwhile"
    if (spread := scatter(found.rounds[against])) > SCATTER:
        return f"the rounds of {against} scatter by {spread:.1%}"
    return ""


def ratio(found: Race, ours: str, peer: str) -> dict:
    """How many times faster `ours` is than `peer`; nothing but a reason if the machine drifted.

    Returns:
        `ratio`, median over rounds, `low` and `high`; or `refused`, why there is none.
    """
    if reason := drift(found, peer):
        return {"ratio": None, "low": None, "high": None, "refused": reason}
    each = [b / a for a, b in zip(found.rounds[ours], found.rounds[peer], strict=True)]
    return {"ratio": median(each), "low": min(each), "high": max(each), "refused": ""}


def measure(
    name: str,
    value: dict,
    floor: float,
    goal: float | None,
    unit: str = "times",
    at_least: bool = True,
    limit: float | None = None,
    why: str = "",
) -> dict:
    """A row of the report: what was reached beside floor and goal, and how far one could get.

    Args:
        value: from `ratio`, or `plain`.
        at_least: whether larger is better.
        limit: the value that the machine allows, where it can be computed.
        why: what the limit assumes, or what keeps the value from its floor.
    """
    reached = value["ratio"]
    sign = 1 if at_least else -1
    return {
        "name": name,
        "unit": unit,
        "at_least": at_least,
        "floor": floor,
        "goal": goal,
        **value,
        "limit": limit,
        "why": why,
        "floor_met": None if reached is None else sign * (reached - floor) >= 0,
        "goal_met": None if reached is None or goal is None else sign * (reached - goal) >= 0,
    }


def plain(value: float, low: float | None = None, high: float | None = None) -> dict:
    """A value that is no ratio of two methods, such as an error or a number of bytes."""
    return {"ratio": float(value), "low": low, "high": high, "refused": ""}
