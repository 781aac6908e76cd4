"""What a split promises: no sentence on both sides, items together, halves by a seed."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from taskspace_utils.splits import split_pairs
from taskspace_utils.store import InputError


def table_of(spec: list[dict]) -> pd.DataFrame:
    base = {"task": "t", "phenomenon": "p", "field": "", "item": "", "split": ""}
    return pd.DataFrame(
        [
            base | {"pair_id": str(i), "good": f"g{i}", "bad": f"b{i}"} | row
            for i, row in enumerate(spec)
        ]
    )


def sides(split: pd.DataFrame) -> dict[str, set]:
    return {
        side: {*some["good"], *some["bad"]}
        for side in ("train", "eval")
        for some in [split[split["split"] == side]]
    }


@st.composite
def tangled(draw) -> pd.DataFrame:
    """Two tasks whose pairs share items and sentences, within a task and across."""
    rows = []
    for task in "ab":
        for _ in range(draw(st.integers(14, 20))):
            rare = st.one_of(st.none(), st.none(), st.integers(0, 6))
            item, word = draw(rare), draw(rare)
            row = {"task": task, "item": "" if item is None else f"i{item}"}
            rows.append(row if word is None else row | {"good": f"shared {word}"})
    return table_of(rows).assign(good=lambda t: t["good"], bad=lambda t: t["bad"])


@given(tangled(), st.sampled_from([4, 6, 8]), st.integers(0, 3))
def test_what_a_split_promises(table, n, seed):
    try:
        split = split_pairs(table, n, seed)
    except InputError:  # too few unrelated pairs; tested below
        assume(False)
    for _, some in split.groupby("task"):
        assert some["split"].value_counts().max() <= n // 2
        assert some["split"].value_counts().min() >= 2
        items = some[some["item"] != ""].groupby("item")["split"].nunique()
        assert (items == 1).all()
    found = sides(split)
    assert not found["train"] & found["eval"]  # no sentence on both sides, in any task
    other = split_pairs(table.sample(frac=1, random_state=seed), n, seed)
    pd.testing.assert_frame_equal(split, other)
    kept = split.drop(columns="split").merge(table.drop(columns="split"))
    assert len(kept) == len(split)  # nothing but the split is changed


def test_halves_are_equal_and_the_seed_changes_them():
    table = table_of([{} for _ in range(40)])
    split = split_pairs(table, 20)
    assert split["split"].value_counts().to_dict() == {"train": 10, "eval": 10}
    assert set(split_pairs(table, 20, 1)["pair_id"]) != set(split["pair_id"])
    everything = split_pairs(table)
    assert everything["split"].value_counts().to_dict() == {"train": 20, "eval": 20}
    odd = split_pairs(table_of([{} for _ in range(7)]))
    assert len(odd) == 7


def test_a_smaller_choice_is_part_of_a_larger_one():
    table = table_of([{} for _ in range(40)])
    few, many = split_pairs(table, 10), split_pairs(table, 20)
    assert set(few["pair_id"]) < set(many["pair_id"])


def test_a_tasks_choice_does_not_depend_on_unrelated_tasks():
    table = table_of([{"task": t} for t in "ab" for _ in range(10)])
    both = split_pairs(table, 6)
    alone = split_pairs(table[table["task"] == "b"], 6)
    pd.testing.assert_frame_equal(both[both["task"] == "b"].reset_index(drop=True), alone)


def test_a_files_own_split_wins():
    own = ["train", "eval"] * 10
    random.Random(0).shuffle(own)
    table = table_of([{"split": s} for s in own])
    split = split_pairs(table, 8)
    given_ = dict(zip(table["pair_id"], table["split"], strict=True))
    assert all(given_[row.pair_id] == row.split for row in split.itertuples())
    assert len(split) == 8


def test_all_pairs_of_an_uneven_split_are_taken():
    table = table_of([{"split": "train"}] * 10 + [{"split": "eval"}] * 4)
    assert len(split_pairs(table)) == 14


def test_a_files_own_split_wins_over_another_tasks_choice():
    """Task b says where the shared sentences go; task a, chosen first, must not contradict."""
    shared = [{"good": f"s{i}"} for i in range(8)]
    first = [{"task": "a", **s} for s in shared]
    second = [
        {"task": "b", "split": "eval" if i % 2 else "train", **s} for i, s in enumerate(shared)
    ]
    split = split_pairs(table_of([*first, *second]))
    found = sides(split)
    assert not found["train"] & found["eval"]


def test_an_own_split_that_tears_an_item_apart_is_an_error():
    rows = [{"split": "train", "item": "i"}, {"split": "eval", "item": "i"}, *[{}] * 6]
    with pytest.raises(InputError, match=r"'t': pair .* shares an item or a sentence"):
        split_pairs(table_of(rows))


def test_too_few_unrelated_pairs_are_an_error():
    one_item = table_of([{"item": "i"}] * 10)
    with pytest.raises(InputError, match="'t' has too few unrelated pairs"):
        split_pairs(one_item)
    with pytest.raises(InputError, match="at least 4"):
        split_pairs(one_item, 2)


def test_rows_that_share_a_chain_of_sentences_stay_together():
    """0–1 share a sentence, 1–2 an item: all three are on one side."""
    rows = [{"good": "s"}, {"good": "s", "item": "i"}, {"item": "i"}, *[{} for _ in range(9)]]
    split = split_pairs(table_of(rows)).set_index("pair_id")["split"]
    assert split["0"] == split["1"] == split["2"]
