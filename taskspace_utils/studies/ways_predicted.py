"""What we expected of ways of tuning before their tables were made, and what became of it.

Written before the reference of chapter 16 was computed; verdicts are computed from its tables.
Seeds 2, 3 and 4 judge: seed 0 is tuned live, and one task of seed 1 was seen while the code was
written, in which low-rank additions cost less than all weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from taskspace_utils.claims import verdict
from taskspace_utils.studies.ways_compared import DRAWS, Spaces, ratios, together


@dataclass(frozen=True)
class Prediction:
    """What we expect of ways: a cost of `one` beside that of `other`, or how spaces agree.

    A cost's number is the natural logarithm of a ratio; "like" is consistent if all of the interval
    lies within ±`smallest`, and contrary if none does.
    """

    says: str
    measure: str  # spread or harm_kl; or "agreement", "loss or weights", "way or seed"
    one: str
    other: str
    rule: str  # of `claims.verdict`, or "like"
    smallest: float


PREDICTIONS = (
    Prediction("Preference optimisation with β = 0.1 harms as the differential does.",
               "harm_kl", "preference", "differential", "like", float(np.log(1.25))),
    Prediction("Self-play spreads more than the differential.",
               "spread", "self-play", "differential", "positive", float(np.log(1.1))),
    Prediction("A mask of 1 % spreads more than no mask.",
               "spread", "differential-top", "differential", "positive", float(np.log(1.1))),
    Prediction("All weights spread more than low-rank additions.",
               "spread", "differential", "differential-lora-4", "positive", float(np.log(1.1))),
    Prediction("Blocks without embeddings spread as low-rank additions do.",
               "spread", "differential-blocks", "differential-lora-4", "like", float(np.log(1.25))),
    Prediction("The differential gives one space, whether all weights move or low-rank additions.",
               "agreement", "differential", "differential-lora-4", "at least", 0.9),
    Prediction("Another loss changes a space more than other weights do.",
               "loss or weights", "plain", "differential", "positive", 0.05),
    Prediction("Another loss changes a space less than another seed of pre-training does.",
               "way or seed", "plain", "differential", "positive", 0.05),
)  # fmt: skip


def asked(spaces: Spaces, prediction: Prediction) -> pd.Series:
    """The estimate of a prediction on spaces: value, low, high."""
    agree, one, other = spaces.agree, prediction.one, prediction.other
    if prediction.measure == "agreement":
        return spaces.summary(agree(one, other))
    if prediction.measure == "way or seed":
        return spaces.summary(agree(one, other) - spaces.seeds_agree(other))
    low = "-lora-4"  # the same two losses in other weights
    weights = agree(one, one + low) + agree(other, other + low)
    losses = agree(one, other) + agree(one + low, other + low)
    return spaces.summary((weights - losses) / 2)


def judged(prediction: Prediction, low: float, high: float) -> str:
    """The verdict of an interval by a prediction's rule; "undetermined" without an interval."""
    if not low <= high:
        return "undetermined"
    if prediction.rule != "like":
        return verdict(prediction.rule, prediction.smallest, low, high)
    s = prediction.smallest
    if -s <= low and high <= s:
        return "consistent"
    return "contrary" if low > s or high < -s else "undetermined"


def verdicts(
    found: pd.DataFrame, spaces: Spaces, which: Iterable = PREDICTIONS, draws: int = DRAWS
) -> pd.DataFrame:
    """The predictions, each with its number, interval, threshold and verdict.

    Args:
        found: rows of `ways_compared.costs`, of the seeds that judge.
    """
    rows = []
    for prediction in which:
        if prediction.measure in ("spread", "harm_kl"):
            of_pair = ratios(found, prediction.measure, prediction.other)
            one = together(of_pair[of_pair["rung"] == prediction.one], draws)
            tasks = one["n_tasks"]
        else:
            one, tasks = asked(spaces, prediction), len(spaces.tasks)
        word = judged(prediction, one["low"], one["high"])
        number = one["value"], one["low"], one["high"]
        rule = prediction.rule, prediction.smallest
        rows.append((prediction.says, prediction.measure, *number, *rule, int(tasks), word))
    columns = ["prediction", "measure", "estimate", "low", "high", "rule", "smallest", "tasks"]
    return pd.DataFrame(rows, columns=[*columns, "verdict"])
