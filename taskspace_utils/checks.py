"""Checks: what can be wrong or confounded in a table of pairs.

A fault of a line is found while reading (`pairs`); here are the facts of whole tasks: lengths, the
place of the first difference, how frequent the differing words are and who shares them, and whether
a bag of words already tells good from bad. Nothing here knows a model.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from taskspace_utils.pairs import Fault

WORD = re.compile(r"\w+(?:['’]\w+)*")
TOKEN = re.compile(rf"{WORD.pattern}|[^\w\s]")
FOLDS = 5  # of the bag's cross-validation; with fewer than two pairs in each it cannot learn


def words(sentence: str, marks: bool = True) -> list[str]:
    """Lower-case words of a sentence; with `marks`, its punctuation marks too."""
    return (TOKEN if marks else WORD).findall(sentence.lower())


def bag_difference(pairs: pd.DataFrame, marks: bool = True) -> tuple[csr_matrix, list[str]]:
    """Signed bag-of-words difference of each pair: counts in good minus counts in bad.

    Args:
        pairs: a table of pairs.
        marks: count punctuation marks as words, as a language model's vocabulary does.

    Returns:
        A sparse matrix of shape (pairs, words) and the words of its columns, sorted.
    """
    vocabulary: dict[str, int] = {}
    rows, columns, values = [], [], []
    for row, (good, bad) in enumerate(zip(pairs["good"], pairs["bad"], strict=True)):
        for sentence, sign in ((good, 1.0), (bad, -1.0)):
            for word in words(sentence, marks):
                rows.append(row)
                columns.append(vocabulary.setdefault(word, len(vocabulary)))
                values.append(sign)
    names = sorted(vocabulary)
    place = np.empty(len(names), dtype=int)
    place[[vocabulary[w] for w in names]] = np.arange(len(names))
    matrix = csr_matrix((values, (rows, place[columns])), shape=(len(pairs), len(names)))
    matrix.eliminate_zeros()
    return matrix, names


def bag_accuracy(pairs: pd.DataFrame, seed: int = 0, folds: int = FOLDS) -> float:
    """How well a bag of words tells good from bad on pairs it has not seen: ½ is chance.

    A logistic regression on the signed bag difference, cross-validated. Of each pair it sees the
    difference as it is or turned round, by `seed`, so that no class is the more frequent one. A
    pair without any difference in its bag counts one half. Words only: a question mark isn't one.
    """
    matrix, _ = bag_difference(pairs, marks=False)
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


def check_table(
    pairs: pd.DataFrame, faults: Iterable[Fault] = (), corpus: Iterable[str] | None = None
) -> pd.DataFrame:
    """One row a task: counts, faults, and what could be learnt instead of its rule.

    Words are counted without punctuation marks; a pair's *differing* words are those that one of
    its sentences has more often than the other.

    Args:
        pairs: with the columns `file` and `line` that `scan_pairs` adds, if faults are given.
        faults: what `scan_pairs` found.
        corpus: sentences to count words in; without them, the words of these pairs (all tasks,
            good and bad) are counted.

    Returns:
        task, phenomenon, pairs, errors, warnings; identical: pairs of two equal sentences;
        repeated: pairs with a sentence that another pair of the task has; words: mean length of a
        good sentence; same_length and first_word_differs: shares of pairs; frequency: mean over
        pairs of how much more frequent the differing words of good are than those of bad (mean
        ln(count + 1), good minus bad; NaN if no pair has differing words on both sides);
        split_overlap: share of the distinct differing words of eval pairs that differ in a train
        pair of the task too, and split_words: the same of all their words (NaN without a split);
        bag_accuracy: ½ is chance, NaN below 10 pairs.
    """
    faults = list(faults)
    at = {}
    if faults:
        at = dict(zip(zip(pairs["file"], pairs["line"], strict=True), pairs["task"], strict=True))
    bags = pd.DataFrame({s: [words(t, marks=False) for t in pairs[s]] for s in ("good", "bad")})
    lines = [*bags["good"], *bags["bad"]]
    if corpus is not None:
        lines = (words(line, marks=False) for line in corpus)
    count = Counter(w for line in lines for w in line)
    rows = []
    for task, some in pairs.assign(row=range(len(pairs))).groupby("task", sort=True):
        good, bad = (bags[side].iloc[some["row"]].tolist() for side in ("good", "bad"))
        whole = f"task {task!r} "  # how the message of a fault of no single line begins
        of_task = [
            f
            for f in faults
            if (f.message.startswith(whole) if f.line == 0 else at.get((f.file, f.line)) == task)
        ]
        both = list(zip(good, bad, strict=True))
        sentences = [{g, b} for g, b in zip(some["good"], some["bad"], strict=True)]
        known = Counter(s for two in sentences for s in two)
        differing = [(Counter(g) - Counter(b), Counter(b) - Counter(g)) for g, b in both]
        rows.append(
            {
                "task": task,
                "phenomenon": some["phenomenon"].iloc[0],
                "pairs": len(some),
                "errors": sum(f.error for f in of_task),
                "warnings": sum(not f.error for f in of_task),
                "identical": int((some["good"] == some["bad"]).sum()),
                "repeated": sum(any(known[s] > 1 for s in two) for two in sentences),
                "words": np.mean([len(g) for g in good]),
                "same_length": np.mean([len(g) == len(b) for g, b in both]),
                "first_word_differs": np.mean([g[:1] != b[:1] for g, b in both]),
                "frequency": _frequency(differing, count),
                "split_overlap": _overlap([{*g, *b} for g, b in differing], some["split"]),
                "split_words": _overlap([{*g, *b} for g, b in both], some["split"]),
                "bag_accuracy": bag_accuracy(some) if len(some) >= 2 * FOLDS else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _frequency(differing: list[tuple[Counter, Counter]], count: Counter) -> float:
    def level(bag: Counter) -> float:
        return sum(n * np.log(count[w] + 1) for w, n in bag.items()) / bag.total()

    gaps = [level(good) - level(bad) for good, bad in differing if good and bad]
    return float(np.mean(gaps)) if gaps else np.nan


def _overlap(found: list[set[str]], split: pd.Series) -> float:
    """Share of the distinct words of eval rows that train rows have."""
    sides = {side: set() for side in ("train", "eval", "")}
    for some, side in zip(found, split, strict=True):
        sides[side] |= some
    if not (split == "train").any() or not sides["eval"]:
        return np.nan
    return len(sides["eval"] & sides["train"]) / len(sides["eval"])


# heading in the terminal, as wide as the numbers under it: column of `check_table`, its meaning
HEADINGS = {
    "pairs": ("pairs", "minimal pairs of the task"),
    "errs": ("errors", "faults that must be mended"),
    "warn": ("warnings", "faults that only --strict refuses"),
    "same": ("identical", "pairs whose good and bad are the same sentence"),
    "again": ("repeated", "pairs with a sentence that another pair of the task has"),
    "words": ("words", "mean length of a good sentence, without punctuation marks"),
    "even": ("same_length", "share of pairs whose good and bad have equally many words"),
    "first": ("first_word_differs", "share of pairs that differ in their first word"),
    "freq": ("frequency", "ln frequency of good's differing words minus bad's (of these pairs)"),
    "seen": ("split_overlap", "share of eval's differing words that differ in train pairs too"),
    "all": ("split_words", "share of all words of eval pairs that train pairs have too"),
    "bag": ("bag_accuracy", "how often a bag of words tells good from bad (0.50 is chance)"),
}  # fmt: skip


def as_text(table: pd.DataFrame) -> str:
    """A table of `check_table` for a terminal of 120 columns, and what its headings mean.

    Columns without any value and `phenomenon` are left out, and long names of tasks cut.
    """
    kept = {h: column for h, (column, _) in HEADINGS.items() if table[column].notna().any()}
    shown = table[list(kept.values())].set_axis(list(kept), axis=1)
    shown.insert(0, "task", [t if len(t) <= 44 else f"{t[:21]}…{t[-22:]}" for t in table["task"]])
    lines = [shown.to_string(index=False, float_format="%.2f", na_rep="–")]
    return "\n".join(lines + [f"{h:>6}: {HEADINGS[h][1]}" for h in kept])


def shared_words(pairs: pd.DataFrame) -> pd.DataFrame:
    """How much of what differs within their pairs two tasks have in common: 0 nothing, 1 all.

    Each task's differing words (without punctuation marks, good and bad alike) are tallied over its
    pairs and divided by their sum; `shared` is the sum over words of the smaller of two shares.
    Unlike `hypotheses.lexical_diff` it has no sign: who against that and that against who share
    all. NaN for a task whose bags never differ.

    Returns:
        columns a, b, shared; one row an ordered pair of tasks.
    """
    matrix, _ = bag_difference(pairs, marks=False)
    names = np.array(sorted(pairs["task"].unique()))
    member = csr_matrix(pairs["task"].to_numpy()[None, :] == names[:, None], dtype=float)
    total = (member @ abs(matrix)).toarray()
    with np.errstate(invalid="ignore"):
        share = total / total.sum(axis=1, keepdims=True)
    rows = [
        (a, b, np.minimum(x, y).sum())
        for a, x in zip(names, share, strict=True)
        for b, y in zip(names, share, strict=True)
    ]
    return pd.DataFrame(rows, columns=["a", "b", "shared"])


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
