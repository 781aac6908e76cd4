"""Checks: what can be wrong or confounded in a table of pairs.

A fault of a line is found while reading (`pairs`); here are the facts of whole tasks: lengths, the
place of the first difference, and whether a bag of words already tells good from bad.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from taskspace_utils.pairs import Fault

WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")


def words(sentence: str) -> list[str]:
    """Lower-case words and punctuation marks of a sentence."""
    return WORD.findall(sentence.lower())


def bag_difference(pairs: pd.DataFrame) -> tuple[csr_matrix, list[str]]:
    """Signed bag-of-words difference of each pair: counts in good minus counts in bad.

    Returns:
        A sparse matrix of shape (pairs, words) and the words of its columns, sorted.
    """
    vocabulary: dict[str, int] = {}
    rows, columns, values = [], [], []
    for row, (good, bad) in enumerate(zip(pairs["good"], pairs["bad"], strict=True)):
        for sentence, sign in ((good, 1.0), (bad, -1.0)):
            for word in words(sentence):
                rows.append(row)
                columns.append(vocabulary.setdefault(word, len(vocabulary)))
                values.append(sign)
    names = sorted(vocabulary)
    place = np.empty(len(names), dtype=int)
    place[[vocabulary[w] for w in names]] = np.arange(len(names))
    matrix = csr_matrix((values, (rows, place[columns])), shape=(len(pairs), len(names)))
    matrix.eliminate_zeros()
    return matrix, names


def bag_accuracy(pairs: pd.DataFrame, seed: int = 0, folds: int = 5) -> float:
    """How well a bag of words tells good from bad on pairs it has not seen: ½ is chance.

    A logistic regression on the signed bag difference, cross-validated. Of each pair it sees the
    difference as it is or turned round, by `seed`, so that no class is the more frequent one. A
    pair without any difference in its bag counts one half.
    """
    matrix, _ = bag_difference(pairs)
    if matrix.nnz == 0 or len(pairs) < 2 * folds:
        return 0.5
    sign = np.random.default_rng(seed).permutation(np.resize([1.0, -1.0], len(pairs)))
    turned = csr_matrix(matrix.multiply(sign[:, None]))
    right = np.empty(len(pairs))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(turned, sign):
        model = LogisticRegression(fit_intercept=False, C=10.0, max_iter=500)
        decision = model.fit(turned[train], sign[train]).decision_function(turned[test])
        right[test] = (np.sign(np.round(decision, 9)) * sign[test] + 1) / 2
    return float(right.mean())


def check_table(pairs: pd.DataFrame, faults: list[Fault] = ()) -> pd.DataFrame:
    """One row a task: counts, faults, lengths in words, and the share of pairs whose first word
    differs.

    Args:
        pairs: with the columns `file` and `line` that `scan_pairs` adds, if faults are given.
    """
    at = {}
    if faults:
        at = dict(zip(zip(pairs["file"], pairs["line"], strict=True), pairs["task"], strict=True))
    rows = []
    for task, some in pairs.groupby("task", sort=True):
        good, bad = ([words(s) for s in some[side]] for side in ("good", "bad"))
        of_task = [f for f in faults if at.get((f.file, f.line)) == task or repr(task) in f.message]
        rows.append(
            {
                "task": task,
                "phenomenon": some["phenomenon"].iloc[0],
                "pairs": len(some),
                "errors": sum(f.error for f in of_task),
                "warnings": sum(not f.error for f in of_task),
                "words": np.mean([len(w) for w in good]),
                "same_length": np.mean([len(g) == len(b) for g, b in zip(good, bad, strict=True)]),
                "first_word_differs": np.mean(
                    [g[:1] != b[:1] for g, b in zip(good, bad, strict=True)]
                ),
            }
        )
    return pd.DataFrame(rows)


def token_lengths(lm, pairs: pd.DataFrame) -> pd.DataFrame:
    """Tokens of good and bad and the place of the first different token, a row a pair.

    Places count from 0 at the first token after BOS; identical pairs have none (−1).
    """
    skip = 0 if lm.bos_id is None else 1
    rows = []
    for good, bad in zip(
        lm.encode(list(pairs["good"])), lm.encode(list(pairs["bad"])), strict=True
    ):
        differing = [i for i, (a, b) in enumerate(zip(good, bad, strict=False)) if a != b]
        shorter = min(len(good), len(bad))
        first = differing[0] if differing else (shorter if len(good) != len(bad) else skip - 1)
        rows.append((len(good) - skip, len(bad) - skip, first - skip))
    table = pd.DataFrame(rows, columns=["tokens_good", "tokens_bad", "first_difference"])
    return table.assign(task=list(pairs["task"]))
