"""Context: tasks around one's own, and how much of a probe is wanted (chapter 13).

Three tasks of one's own span no space. Among the tasks of a known language they get a place: this
room adds such tasks' pairs, says which tasks are whose, and refuses what too few pairs can't carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from taskspace_utils import legibility
from taskspace_utils.store import InputError, say

TRANSFER_PAIRS = 40  # of a task, half to tune on: fewer make a tuning and its evaluation chance
PLACED = 24  # tasks at most that are placed with intervals; more are a space of their own

# What is asked of a model, by how long one wants to wait: `--preset`.
PRESETS: Mapping[str, dict] = MappingProxyType({
    "quick": {"methods": ["gradient"], "pairs": 60, "k": [0.01]},
    "standard": {"methods": ["transfer", "gradient"], "pairs": 100, "k": [0.01, 1.0]},
    "full": {"methods": ["transfer", "gradient"], "pairs": 200, "k": [0.01, 1.0]},
})  # fmt: skip


def with_context(
    pairs: pd.DataFrame, context: str, n: int, seed: int = 0
) -> tuple[pd.DataFrame, list[str]]:
    """One's own pairs and those of other tasks around them.

    Args:
        context: "grammar" (the project's own language), "blimp" (in the folder that TASKSPACES_DATA
            names), or a file or folder of pairs; "" for none.
        n: pairs a task of the grammar to write.
        seed: which of them.

    Returns:
        Both tables as one, `split` unfilled where it was; and the names of the tasks of one's own.
        A task of the context that one's own pairs have too is left out of the context.

    Raises:
        InputError: no such file; no BLiMP in the folder; nothing is left of the context.
    """
    own = sorted(pairs["task"].unique())
    if not context:
        return pairs, own
    around = _pairs_of(context, n, seed)
    legibility.check_text(around)
    same = sorted(set(own) & set(around["task"]))
    around = around[~around["task"].isin(own)]
    if same and len(around):
        say(f"left out of the context, for own tasks have these names: {', '.join(same)}")
    if around.empty:
        raise InputError(f"--context {context}: it has no task that --pairs doesn't have too")
    both = pd.concat([pairs, around], ignore_index=True)
    extra = [column for column in both if both[column].isna().any()]  # what one side lacks
    both[extra] = both[extra].astype(object).where(both[extra].notna(), "")
    return both, own


def _pairs_of(context: str, n: int, seed: int) -> pd.DataFrame:
    from taskspace_utils.pairs import read_pairs
    from taskspace_utils.profiles import required_data

    if context == "grammar":
        from taskspace_utils.grammar import load_grammar

        return load_grammar().pairs(n, seed)
    if context == "blimp":
        return read_pairs(required_data("blimp", "data"))
    if not Path(context).exists():
        raise InputError(
            f"--context {context}: neither blimp, nor grammar, nor a file of pairs that is there"
        )
    legibility.check_header(context)
    return read_pairs(context)


def chosen(names: Iterable[str] | None, of: Iterable[str], option: str) -> list[str]:
    """The tasks that an option names, or all; InputError for a name that is none."""
    of = sorted(of)
    wanted = of if names is None else list(dict.fromkeys(names))
    if missing := [name for name in wanted if name not in of]:
        raise InputError(f"{option}: no task {', '.join(missing)}; there are {', '.join(of)}")
    if not wanted:
        raise InputError(f"{option}: no task is named")
    return wanted


def too_few(pairs: pd.DataFrame, tasks: Iterable[str], asked: int = TRANSFER_PAIRS) -> str:
    """Which of these tasks have too few pairs for transfer, in words; "" where none has.

    Args:
        asked: pairs a task that were asked for; if those are too few, no task is to blame.
    """
    if asked < TRANSFER_PAIRS:
        return f"transfer needs {TRANSFER_PAIRS} pairs a task, and --pairs-per-task is {asked}"
    counts = pairs["task"].value_counts()
    few = {task: int(counts[task]) for task in sorted(tasks) if counts[task] < TRANSFER_PAIRS}
    if not few:
        return ""
    named = ", ".join(f"{task} has {count}" for task, count in list(few.items())[:5])
    more = f" and {len(few) - 5} more have too few" if len(few) > 5 else ""
    half = TRANSFER_PAIRS // 2
    return f"transfer needs {TRANSFER_PAIRS} pairs a task, {half} to tune on and {half} to " \
        f"evaluate: {named}{more}"  # fmt: skip
