"""Write data/hypotheses/grammar.csv again: labels from the grammar, reasons from the file itself.

    python scripts/label_grammar.py

Everything but `reason` comes from data/grammar/paradigms.yml. `reason` is written by hand, as
`DECIDES, DIFFERS: why`: the word of the paradigm's example that decides, the word that differs
(of a gap: the word behind it), and a few words of explanation; or as `order: why` where good and
bad have the same words. `distance` is counted from these. A new task gets an empty reason, and a
test asks for one.
"""

from __future__ import annotations

import sys

import pandas as pd

from taskspace_utils import load_grammar
from taskspace_utils.store import InputError, data_path
from taskspace_utils.tables import read_table, write_table

COLUMNS = ["task", "phenomenon", "field", "family", "frame", "distance", "demands", "reason"]


def distance(task: str, example: str, reason: str) -> str:
    """adjacent, short (1 or 2 words between), long (3 or more), order; "" without a reason.

    Of a word that the example has more than once, the occurrence nearest to the other word counts.

    Raises:
        InputError: the reason does not fit the example.
    """
    good, bad = (side.split() for side in example.split(" / *"))
    named, colon, _ = reason.partition(": ")
    pair = named.split(", ")
    if not reason:
        return ""
    if named == "order":
        if sorted(good) != sorted(bad):
            raise InputError(f"{task}: {example!r} differs in more than order")
        return "order"
    if not colon or len(pair) != 2:
        raise InputError(f"{task}: write `DECIDES, DIFFERS: why` or `order: why`, not {reason!r}")
    gaps = [
        abs(i - j) - 1
        for i, decides in enumerate(good)
        for j, differs in enumerate(good)
        if i != j and (decides, differs) == tuple(pair)
    ]
    if not gaps:
        raise InputError(f"{task}: {named!r} are not two words of {' '.join(good)!r}")
    if not any(good.count(word) > bad.count(word) for word in pair):
        raise InputError(f"{task}: neither of {named!r} differs in {example!r}")
    return "adjacent" if min(gaps) == 0 else "short" if min(gaps) <= 2 else "long"


def labels() -> pd.DataFrame:
    """The table as it should be: one row a task of the grammar, sorted by name."""
    path = data_path("hypotheses", "grammar.csv")
    old = read_table(path)
    reasons = dict(zip(old["task"], old["reason"], strict=True))
    tasks = load_grammar().tasks().sort_values("task", ignore_index=True)
    tasks["reason"] = [reasons.get(task, "") for task in tasks["task"]]
    rows = zip(tasks["task"], tasks["example"], tasks["reason"], strict=True)
    tasks["distance"] = [distance(*row) for row in rows]
    return tasks[COLUMNS]


if __name__ == "__main__":
    try:
        write_table(data_path("hypotheses", "grammar.csv"), labels(), ["task"])
    except InputError as error:
        sys.exit(f"data/hypotheses/grammar.csv: {error}")
