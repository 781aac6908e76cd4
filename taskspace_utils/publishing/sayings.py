"""What one may say of a probed model, and what not, by rules (chapter 13).

A rule looks at numbers and flags of a run folder and returns sentences of two kinds: what the
numbers carry, and what a reader might take from them that they do not carry, with the reason. The
limits stand here as constants; none is moved for a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from taskspace_utils.gradients import MIN_RELIABILITY
from taskspace_utils.placement import models_of, placed
from taskspace_utils.sample_size import needed
from taskspace_utils.tables import Run, only

SURE = 0.95  # of draws, of unrelated pairs, of shams: what must lie on one side
BAG = 0.9  # accuracy of a bag of words from which a task needs no order of words
CHANCE = 0.05  # share of cells that lie outside their 95 % intervals when nothing happened


class Saying(NamedTuple):
    """A sentence: `may` it be said, of which task ("" for the whole), and why or why not."""

    may: bool
    task: str
    text: str
    because: str


def sayings(run: Run, **where) -> list[Saying]:
    """All sentences on one model, task by task, then those on the whole.

    Args:
        where: which model, as `placement.models_of` gives it.
    """
    accuracy = only(run.table("accuracy"), where).set_index("task")
    own = run.manifest.get("own") or list(accuracy.index)
    found: list[Saying] = []
    facts = near = None
    redrawn: dict[str, float] = {}  # the lower ends of the intervals of reliabilities
    if run.has("tasks"):
        facts = only(run.table("tasks"), where).set_index("task")
    if run.has("placement"):
        near = placed(run, **where)
        itself = only(run.table("placement"), where).query("a == b")
        redrawn = dict(zip(itself["a"], itself["low"], strict=True))
    for task in own:
        bag = facts.loc[task, "bag_accuracy"] if facts is not None and task in facts.index else None
        found += of_accuracy(task, accuracy.loc[task], bag)
        if facts is not None and task in facts.index:
            low = redrawn.get(task, np.nan)
            found += of_reliability(task, facts.loc[task], int(accuracy.loc[task, "n"]), low)
        if near is not None:
            found += of_place(task, near[near["a"] == task])
        if run.has("transfer"):
            found += of_transfer(
                task, only(run.table("tuning"), where), only(run.table("transfer"), where)
            )
    return [*found, *of_the_whole(run)]


# ------------------------------------------------------------------------------------ of one task


def interval(accuracy: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy; a tie, which counts one half, is rounded down."""
    right = int(np.floor(accuracy * n + 0.01))  # tables keep nine digits: 44 of 60 may read 43.99…
    ends = binomtest(right, int(n)).proportion_ci(method="wilson")
    return float(ends.low), float(ends.high)


def of_accuracy(task: str, row: pd.Series, bag: float | None) -> Iterator[Saying]:
    """Is the accuracy off one half, and does it take more than words to be so?"""
    low, high = interval(row["accuracy"], row["n"])
    said = f"{row['accuracy']:.0%} of {row['n']:.0f} pairs, 95 % interval {low:.0%} to {high:.0%}"
    if low <= 0.5 <= high:
        yield Saying(False, task, "that the model knows this task, or that it doesn't",
                     f"{said}: the interval holds one half")  # fmt: skip
        return
    way = "good" if low > 0.5 else "bad"
    yield Saying(True, task, f"it prefers the {way} sentences more often than chance", said)
    if bag is not None and bag >= BAG:
        yield Saying(False, task, "that this takes a rule of grammar",
                     f"a bag of words, which sees no order, gets {bag:.0%} of unseen pairs right",
                     )  # fmt: skip


def of_reliability(task: str, row: pd.Series, pairs: int, low: float = np.nan) -> Iterator[Saying]:
    """Is there a gradient stable enough to have a place?

    Args:
        low: the lower end of the reliability's 95 % interval; NaN where there is none.
    """
    r = row["reliability"]
    if r >= MIN_RELIABILITY:
        yield Saying(True, task, "its learning signal can be told from noise",
                     f"gradients of two halves of its pairs have cosine {r:.2f}")  # fmt: skip
        if low < MIN_RELIABILITY:
            yield Saying(False, task, "that other pairs of the kind, or another split of these, "
                         "would show the same", f"over redrawn pairs, the 95 % interval of that "
                         f"cosine begins at {low:.2f}, under {MIN_RELIABILITY:g}")  # fmt: skip
        return
    more = needed(r, pairs, MIN_RELIABILITY) if np.isfinite(r) else np.inf
    help_ = f"about {more:.0f} pairs would reach it" if more < 1e6 else "more pairs may not help"
    if r < 0:  # worse than noise: halves that ask for opposite things do so
        help_ += "; where what is right in one pair is wrong in another, give both one item"
    why = f"reliability {r:.2f}, under {MIN_RELIABILITY:g}; {help_}"
    if not np.isfinite(r):
        why = str(row["flag"]) or "its gradient could not be measured"
    yield Saying(False, task, "where it stands among other tasks", why)


def of_place(task: str, near: pd.DataFrame) -> Iterator[Saying]:
    """Which task is nearest, is it near at all, and is it near beyond words?

    Args:
        near: rows of `placement.placed` of this task, the most alike first.
    """
    near = near[near["corrected"].notna()]
    if near.empty:
        return  # nothing reliable to be near to; `of_reliability` has said it
    first = near.iloc[0]
    other = first["b"]
    size = f"corrected cosine {first['corrected']:.2f}"
    if np.isfinite(first["corrected_low"]):
        size += f", 95 % interval {first['corrected_low']:.2f} to {first['corrected_high']:.2f}"
    if first["corrected_low"] <= 0 or not first["above_flips"] >= SURE:
        why = "the interval holds 0"
        if first["corrected_low"] > 0:
            turned = 1 - first["above_flips"]
            why = f"{turned:.0%} of versions of it with good and bad swapped in " \
                "half of its pairs, which ask for nothing, have a task as near"  # fmt: skip
        yield Saying(False, task, f"that it is like its nearest task, {other}", f"{size}; {why}")
        return
    if first["nearest"] >= SURE:
        yield Saying(True, task, f"of the tasks compared, its learning signal is most like that "
                     f"of {other}", f"{size}; nearest in {_share(first['nearest'])} of draws of "
                     "pairs")  # fmt: skip
    else:
        if not first["above_nearest"] < SURE:  # else nearly any task has one that is as near
            yield Saying(True, task, f"its learning signal is like that of {other}", size)
        yield Saying(False, task, f"that {other} is the nearest",
                     f"it is so in {_share(first['nearest'])} of draws of pairs only")  # fmt: skip
    yield from _beyond_words(task, first)


def _share(part: float) -> str:
    """A share of draws in per cent, with all of its digits: a table beside it has them rounded."""
    return f"{100 * part:.4g}%"


def _beyond_words(task: str, first: pd.Series) -> Iterator[Saying]:
    other, words = first["b"], f"their differences in words have cosine {first['lexical_diff']:.2f}"
    claim = f"that the likeness to {other} is more than shared words or chance"
    if not np.isfinite(first["above_nearest"]):
        yield Saying(False, task, claim,
                     f"{words}, and there are too few other tasks, with reliable gradients and of "
                     "different phenomena, to tell what words make of a space: --context grammar "
                     "or blimp adds some, and a file does if it has a column `phenomenon`",
                     )  # fmt: skip
    elif first["above_nearest"] < SURE:
        yield Saying(False, task, claim, f"{words}; of the other tasks, "
                     f"{1 - first['above_nearest']:.0%} have an unrelated task that lies as high "
                     "beyond what words explain")  # fmt: skip
    else:
        yield Saying(True, task, f"the likeness to {other} is more than shared words or chance",
                     f"{words}; beyond them it lies higher than the nearest unrelated task of "
                     f"{first['above_nearest']:.0%} of the other tasks")  # fmt: skip
    grammar = f"that the likeness to {other} is one of grammar"
    if first["sham"]:
        yield Saying(False, task, grammar, f"{other} is a sham: its choice is arbitrary")
    elif not np.isfinite(first["above_shams"]):
        yield Saying(False, task, grammar, "there are too few shams, tasks whose choice is "
                     "arbitrary, with reliable gradients to hold it against")  # fmt: skip
    elif first["above_shams"] < SURE:
        yield Saying(
            False,
            task,
            grammar,
            f"{1 - first['above_shams']:.0%} of shams, whose choice is arbitrary, lie as high "
            "above what words explain",
        )


def of_transfer(task: str, tuning: pd.DataFrame, cells: pd.DataFrame) -> Iterator[Saying]:
    """Did teaching the task succeed, and did it move others beyond their intervals?"""
    for row in tuning[tuning["source"] == task].to_dict("records"):
        some = cells[(cells["source"] == task) & (cells["tuning"] == row["tuning"])]
        some = some[some["target"] != task]
        if not row["reached"]:
            yield Saying(False, task, f"what teaching it does to other tasks ({row['tuning']})",
                         f"the target was not reached: {row['flag'] or 'no reason given'}",
                         )  # fmt: skip
            continue
        change = some["margin_after"] - some["margin_before"]
        beyond = (change.abs() > 1.96 * some["margin_se"]) & change.notna()
        if some.empty:
            continue
        share = f"{int(beyond.sum())} of {len(some)} other tasks moved beyond the 95 % interval " \
            "of their pairs"  # fmt: skip
        luck = binomtest(int(beyond.sum()), len(some), CHANCE, alternative="greater").pvalue
        if luck > 1 - SURE:  # one of thirteen is more than a twentieth, and nothing to speak of
            if beyond.any():
                share += f"; where nothing moves, {luck:.0%} of tunings have as many that do"
            yield Saying(
                False, task, f"that teaching it moves other tasks ({row['tuning']})", share
            )
        else:
            most = some.loc[change.abs().idxmax()]
            moved = most["margin_after"] - most["margin_before"]
            yield Saying(True, task, f"teaching it moves other tasks ({row['tuning']}), "
                         f"{most['target']} the most, by {moved:+.2f} nats", share)  # fmt: skip


# ----------------------------------------------------------------------------------- of the whole


def of_the_whole(run: Run) -> Iterator[Saying]:
    """What no number of a single probe carries, and what this one left out."""
    yield Saying(False, "", "that the model computes two tasks in the same way",
                 "a gradient is a learning signal: it says what the weights would learn, not what "
                 "they do")  # fmt: skip
    for doubt in run.manifest.get("doubts", []):
        yield Saying(False, "", "any of these numbers without this remark", doubt)
    models, params = models_of(run), run.manifest.get("params")
    if len(models) == 1:
        yield Saying(False, "", "that models of this kind or size do so",
                     "one model was probed, of one seed of pre-training")  # fmt: skip
    else:
        seeds = {model.get("seed") for model in models}
        if len(seeds) == 1:
            yield Saying(False, "", "that models of this kind or size do so",
                         "revisions of one model were probed, of one seed of pre-training",
                         )  # fmt: skip
        yield Saying(False, "", "that tasks draw together in training, from plain cosines",
                     "a cosine rises as noise falls: compare corrected ones, between the same "
                     "reliable tasks")  # fmt: skip
    if params:
        yield Saying(False, "", "anything on all of the model's weights",
                     f"only part of them was free: {params}")  # fmt: skip
    if not run.has("transfer"):
        why = run.manifest.get("no_transfer", "no transfer was asked for")
        yield Saying(False, "", "what would generalise if the model were taught", why)


def split(some: Iterable[Saying]) -> tuple[list[Saying], list[Saying]]:
    """What may be said, and what may not."""
    some = list(some)
    return [s for s in some if s.may], [s for s in some if not s.may]
