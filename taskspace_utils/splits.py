"""Splits: which pairs of a task are tuned on, and which are evaluated.

No sentence stands on both sides, and all pairs of an item stand on one.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict

import pandas as pd

from taskspace_utils.pairs import MIN_PAIRS
from taskspace_utils.store import InputError


def split_pairs(pairs: pd.DataFrame, n: int | None = None, pair_seed: int = 0) -> pd.DataFrame:
    """Choose `n` pairs of each task and halve them into train and eval.

    A file's own `split` wins. Otherwise groups of pairs that share an item or a sentence stay on
    one side; groups are ordered by a hash of (pair_seed, task, item or pair), so the choice
    depends neither on the order of the rows nor on the other tasks' number. A sentence that is in
    one task's train pairs is never in another task's eval pairs.

    Args:
        pairs: a table of pairs.
        n: pairs a task, half of them for eval; None takes all.
        pair_seed: which choice.

    Returns:
        The chosen pairs, `split` filled, sorted by task and then by the order above.

    Raises:
        InputError: a task has too few pairs for two halves of at least two; or a sentence, or an
            item of a task, is in both of the file's own splits.
    """
    if n is not None and n < MIN_PAIRS:
        raise InputError(f"pairs per task is {n}; it must be at least {MIN_PAIRS}")
    side_of: dict[str, str] = {}
    own = pairs[pairs["split"] != ""]  # they come first: another task's choice must respect them
    for row in own.itertuples():
        for sentence in (row.good, row.bad):
            if side_of.setdefault(sentence, row.split) != row.split:
                raise InputError(
                    f"task {row.task!r}: pair {row.pair_id!r} shares {sentence!r} with a pair of "
                    "the other split; put both on one side"
                )
    chosen = []
    for task, rows in sorted(pairs.groupby("task"), key=lambda group: group[0]):
        chosen.extend(_split_task(str(task), rows.to_dict("records"), n, pair_seed, side_of))
    return pd.DataFrame(chosen, columns=list(pairs.columns)).reset_index(drop=True)


def _split_task(task: str, rows: list[dict], n: int | None, seed: int, side_of: dict) -> list[dict]:
    limit = (n or len(rows)) // 2
    room = {"train": limit, "eval": limit if n else len(rows) - limit}
    taken: list[dict] = []
    for group in _groups(task, rows, seed):
        sentences = {s for row in group for s in (row["good"], row["bad"])}
        own = {row["split"] for row in group} - {""}
        forced = own or {side_of[s] for s in sentences if s in side_of}
        if len(forced) > 1:
            if own:
                raise InputError(
                    f"task {task!r}: pair {group[0]['pair_id']!r} shares an item or a sentence "
                    "with a pair of the other split; put both on one side"
                )
            continue  # its sentences are on both sides elsewhere: it can serve on neither
        side = forced.pop() if forced else max(room, key=lambda s: (room[s], s))
        if room[side] < len(group) and n is not None:
            continue
        room[side] -= len(group)
        side_of.update(dict.fromkeys(sentences, side))
        taken.extend(row | {"split": side} for row in group)
    for side in ("train", "eval"):
        if sum(row["split"] == side for row in taken) < MIN_PAIRS // 2:
            raise InputError(
                f"task {task!r} has too few unrelated pairs for a {side} half: it needs at least "
                f"{MIN_PAIRS} pairs that share no item and no sentence"
            )
    return taken


def _groups(task: str, rows: list[dict], seed: int) -> list[list[dict]]:
    """Pairs joined by an item or a sentence, the groups in the order of their hash."""
    leader = list(range(len(rows)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, row in enumerate(rows):
        ties = [("sentence", row["good"]), ("sentence", row["bad"])]
        if row["item"]:
            ties.append(("item", row["item"]))
        for tie in ties:
            leader[find(i)] = find(first.setdefault(tie, i))
    groups: dict[int, list[tuple[str, dict]]] = defaultdict(list)
    for i, row in enumerate(rows):
        text = json.dumps([seed, task, row["item"], row["pair_id"]])
        groups[find(i)].append((hashlib.sha256(text.encode()).hexdigest(), row))
    for group in groups.values():
        group.sort(key=lambda hashed: hashed[0])
    return [[row for _, row in g] for g in sorted(groups.values(), key=lambda g: g[0][0])]
