"""Does a mask isolate? Every task's lesson with and without one, side by side (chapter 5)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from taskspace_utils.equal_gain import interval
from taskspace_utils.tables import Run

MODEL = ["scale", "seed", "k"]


class Lessons:
    """All lessons of a sweep at one step, without those on shams or seen in shams.

    Attributes:
        moved: mean size of a change of margin, nats: columns own, same (phenomenon), others; a row
            a scale, seed, source and k.
        harm: divergence from the model before, nats a token, and `lesson`: reached, displacement.
    """

    def __init__(self, run: Run, pairs: pd.DataFrame, step: int) -> None:
        share = run.table("configs").set_index("tuning")["k"]
        phenomenon = pairs.drop_duplicates("task").set_index("task")["phenomenon"]
        real = set(phenomenon.index[phenomenon != "preference_sham"])

        def at_step(name: str) -> pd.DataFrame:
            table = run.table(name)
            table = table[table["step"] == step]
            return table.assign(k=table["tuning"].map(share))[table["source"].isin(real)]

        rows = at_step("transfer")
        rows = rows[rows["target"].isin(real)]
        same = rows["source"].map(phenomenon) == rows["target"].map(phenomenon)
        kind = same.map({True: "same", False: "others"})
        kind = kind.where(rows["source"] != rows["target"], "own")
        rows = rows.assign(kind=kind, moved=(rows["margin_after"] - rows["margin_before"]).abs())
        self._rows = rows
        self.moved = rows.pivot_table("moved", ["scale", "seed", "source", "k"], "kind")
        self.lesson, self.harm = at_step("tuning"), at_step("harm")

    def means(self) -> pd.DataFrame:
        """A row a model and k: own, same, others, reached, displacement, harm_kl."""
        table = self._rows.pivot_table("moved", MODEL, "kind")
        ends = self.lesson.groupby(MODEL)[["reached", "displacement"]].mean()
        return table.join(ends).join(self.harm.groupby(MODEL)["harm_kl"].mean()).sort_index()

    def ratios(self) -> pd.DataFrame:
        """Cost with the mask over cost without: geometric means over tasks, with intervals.

        Only tasks that reached the target both ways. Spread is the mean size of a change in tasks
        of other phenomena for each nat of the task's own.
        """
        unit, found = ["scale", "seed", "source"], []
        costs = {
            "spread": (self.moved["others"] / self.moved["own"]).unstack("k"),
            "divergence": self.harm.pivot_table("harm_kl", unit, "k"),
        }
        both = self.lesson.pivot_table("reached", unit, "k").min(axis=1) == 1
        for name, cost in costs.items():
            ratio = np.log(cost.iloc[:, 0] / cost.iloc[:, 1])[both].dropna()
            for (scale, seed), some in ratio.groupby(level=["scale", "seed"]):
                ends = np.exp(interval(some.to_numpy()))
                found.append([name, scale, seed, len(some), np.exp(some.mean()), *ends])
        columns = ["cost", "scale", "seed", "tasks", "masked ÷ unmasked", "low", "high"]
        return pd.DataFrame(found, columns=columns)
