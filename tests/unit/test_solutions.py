"""What students are asked to write gives the numbers that the package gives, on other data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import claims, families, gradients, hypotheses, spaces, trees
from taskspace_utils.controls import partial_rank
from taskspace_utils.figures import shams
from taskspace_utils.ftgd import loss_gradient, parameters, top_k
from taskspace_utils.publishing import editions

from . import toys


def solution(chapter: str, name: str):
    """The function in the chapter, run by itself as in an assignment."""
    space: dict = {}
    exec(next(c.solved for c in editions.coded(chapter) if c.name == name), space)
    return next(v for v in reversed(space.values()) if getattr(v, "__code__", None))


@pytest.fixture(scope="module")
def measured():
    """A toy model, pairs of two tasks of unequal kind, and their gradient space."""
    lm = toys.gpt2()
    pairs = toys.english(16)
    return lm, pairs, *gradients.gradient_space(lm, pairs, k=0.05)


def halves_of(lm, pairs, task):
    some = pairs[pairs["task"] == task]
    parts = (some[some["split"] == half] for half in ("train", "eval"))
    return np.stack([loss_gradient(lm, part)[0].numpy() for part in parts]).astype(float)


def test_corrected_cosines(measured):
    lm, pairs, table, facts = measured
    corrected = solution("07", "corrected-cosine")
    names = list(facts["task"])
    found = table.set_index(["a", "b"])["cosine_corrected"]
    assert found.notna().any(), "these pairs have no reliable task"
    for a in names:
        for b in names:
            mine = corrected(halves_of(lm, pairs, a), halves_of(lm, pairs, b))
            np.testing.assert_allclose(mine, found[a, b], rtol=1e-4)


def test_participation(measured):
    lm, pairs, _, facts = measured
    mine = [solution("07", "participation")(halves_of(lm, pairs, t).mean(0)) for t in facts["task"]]
    np.testing.assert_allclose(mine, facts["participation"], rtol=1e-4)


def test_lift_over_chance(measured):
    lm, pairs, *_ = measured
    same = pd.concat(  # both halves from the same pairs, so that both ways are one
        [pairs[pairs["split"] == "train"], pairs[pairs["split"] == "train"].assign(split="eval")]
    )
    table, facts = gradients.gradient_space(lm, same, k=0.05)
    a, b = facts["task"].iloc[:2]
    sizes = [p.numel() for p in parameters(lm.model).values()]
    masks = [np.zeros(sum(sizes), dtype=bool) for _ in (a, b)]
    for task, mask in zip((a, b), masks):
        train = same[(same["task"] == task) & (same["split"] == "train")]
        mask[top_k(loss_gradient(lm, train)[0], 0.05).numpy()] = True
    mine = solution("07", "overlap-lift")(*masks, sizes)
    stored = table.set_index(["a", "b"])["overlap_lift"][a, b]
    np.testing.assert_allclose(mine, stored, rtol=1e-6)


def test_cosines_of_words():
    pairs = toys.english(8)
    word_cosine = solution("08", "word-cosine")
    asked = {task: list(zip(some["good"], some["bad"])) for task, some in pairs.groupby("task")}
    table = hypotheses.lexical_diff(pairs).fillna(0.0)  # nothing differs: the chapter's 0
    mine = [word_cosine(asked[a], asked[b]) for a, b in zip(table["a"], table["b"])]
    np.testing.assert_allclose(mine, table["lexical_diff"], atol=1e-9)


def test_ranks_of_shams():
    rng, names = np.random.default_rng(0), [f"t{i}" for i in range(14)]
    space, words = (
        pd.DataFrame(rng.uniform(-1, 1, (14, 14)), names, names).pipe(spaces.symmetric)
        for _ in range(2)
    )
    frame = pd.DataFrame(np.equal.outer(np.arange(14) % 2, np.arange(14) % 2) * 1.0, names, names)
    partner = dict(zip(names[10:], names[:4]))
    tasks = pd.DataFrame({"task": names, "phenomenon": names})
    tasks["sham_of"] = tasks["task"].map(partner).fillna("")
    table = shams.load(space, words, tasks, frame)
    cells = table.assign(
        kind=table["kind"].map({shams.KINDS[0]: "unrelated", shams.KINDS[2]: "sham"}),
        same_frame=table["frame"] == 1,
    )
    stored = table.loc[table["kind"] == shams.KINDS[2], "share_below"]
    assert len(stored) == 4
    np.testing.assert_allclose(solution("08", "sham-rank")(cells), stored)


def a_space(n=9, seed=0):
    rng = np.random.default_rng(seed)
    names = [f"t{i}" for i in range(n)]
    space = pd.DataFrame(rng.normal(size=(n, n)), names, names).pipe(spaces.symmetric)
    return space, pd.Series([f"g{i // 3}" for i in range(n)], names)


def test_permutation_p():
    permutation_p = solution("09", "permutation-test")
    for seed in range(4):
        space, groups = a_space(seed=seed)
        stored = spaces.within_between(space, groups, 1999)["p"]
        args = space.to_numpy(), groups.to_numpy(), 1999, np.random.default_rng(5)
        assert permutation_p(*args) == pytest.approx(stored, abs=0.04)


def test_partialled_out():
    ranked = [pd.Series(spaces.cells(a_space(seed=s)[0])).rank().to_numpy() for s in range(3)]
    squares = []
    for values in ranked:
        square = np.eye(9)
        square[np.triu_indices(9, 1)] = values
        squares.append(square + np.triu(square, 1).T)
    found = solution("09", "partial-out")(*squares)
    assert found == pytest.approx(partial_rank(*ranked))


def test_nearest_neighbours():
    space, groups = a_space()
    groups.iloc[-1] = "alone"
    share, chance = solution("11", "nearest-by-chance")(space.to_numpy(), list(groups))
    assert share == spaces.nearest_shares_group(space, groups)
    found = families.nearest(space, groups, pd.Series(space.index, space.index))
    assert share == pytest.approx(found["value"].iloc[0])
    shuffled = [
        spaces.nearest_shares_group(
            space, groups.sample(frac=1, random_state=s).set_axis(space.index)
        )
        for s in range(1500)
    ]
    assert np.mean(shuffled) == pytest.approx(chance, abs=0.02)


def test_verdicts():
    verdict = solution("12", "verdict")
    ends = [-0.3, -0.1, -0.05, 0.0, 0.02, 0.1, 0.4]
    for low in ends:
        for high in (end for end in ends if end >= low):
            assert verdict(low, high, 0.1) == claims.verdict("positive", 0.1, low, high)


def test_tokens_of_a_tree():
    lm, pairs = toys.gpt2(), toys.english(3)
    ids = lm.encode(sorted({*pairs["good"], *pairs["bad"]}))
    rows = trees._rows(ids)
    assert len(rows) == 1, "more than one row: beginnings are read again in each"
    assert solution("20", "read-once")(ids) == len(rows[0].tokens)
