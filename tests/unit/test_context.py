"""Tasks around one's own, and what too few pairs can't carry."""

from __future__ import annotations

import pandas as pd
import pytest

from taskspace_utils import context
from taskspace_utils.pairs import write_pairs
from taskspace_utils.splits import split_pairs
from taskspace_utils.store import InputError

from . import toys


def own() -> pd.DataFrame:
    return toys.english(8).assign(split="")


def test_without_a_context_all_tasks_are_ones_own():
    pairs, tasks = context.with_context(own(), "", 60)
    assert tasks == ["agree", "plural", "reflexive"]
    pd.testing.assert_frame_equal(pairs, own())


def test_the_grammar_comes_around_with_its_shams():
    pairs, tasks = context.with_context(own(), "grammar", 8)
    assert tasks == ["agree", "plural", "reflexive"]
    around = pairs[~pairs["task"].isin(tasks)]
    assert around.groupby("task").size().eq(8).all()
    assert (around["sham_of"] != "").groupby(around["task"]).any().sum() >= 10
    assert (pairs.loc[pairs["task"] == "agree", "sham_of"] == "").all(), "no task of mine is a sham"
    assert not pairs.isna().any(axis=None)
    assert set(split_pairs(pairs, 8)["split"]) == {"train", "eval"}


def test_a_file_comes_around_without_the_tasks_that_are_mine(tmp_path):
    path = write_pairs(tmp_path / "around.csv", own())
    mine = own().query("task == 'agree'")
    pairs, tasks = context.with_context(mine, str(path), 60)
    assert tasks == ["agree"]
    assert pairs.groupby("task").size().to_dict() == {"agree": 8, "plural": 8, "reflexive": 8}
    with pytest.raises(InputError, match="no task that --pairs doesn't have too"):
        context.with_context(own(), str(path), 60)


def test_a_context_that_is_none(monkeypatch):
    with pytest.raises(InputError, match="neither blimp, nor grammar, nor a file"):
        context.with_context(own(), "blimb", 60)
    monkeypatch.delenv("TASKSPACES_DATA", raising=False)
    with pytest.raises(InputError, match="TASKSPACES_DATA"):
        context.with_context(own(), "blimp", 60)


def test_names_of_tasks_that_are_none():
    assert context.chosen(None, ["b", "a"], "--sources") == ["a", "b"]
    assert context.chosen(["b", "b"], ["b", "a"], "--sources") == ["b"]
    with pytest.raises(InputError, match="--targets: no task c; there are a, b"):
        context.chosen(["c"], ["b", "a"], "--targets")
    with pytest.raises(InputError, match="no task is named"):
        context.chosen([], ["a"], "--sources")


def test_too_few_pairs_are_counted_for_the_tasks_that_matter():
    enough = context.TRANSFER_PAIRS
    pairs = pd.DataFrame({"task": ["a"] * enough + ["b"] * (enough - 1) + ["c"] * 4})
    assert context.too_few(pairs, ["a"]) == ""
    said = context.too_few(pairs, ["a", "b"])
    assert f"b has {enough - 1}" in said
    assert "a has" not in said
    assert "c has" not in said
    assert f"{enough // 2} to tune on and {enough // 2} to evaluate" in said
    asked = context.too_few(pairs, ["a"], asked=enough - 2)
    assert asked.endswith(f"and --pairs-per-task is {enough - 2}"), "the file may hold more"


def test_presets_grow():
    quick, standard, full = context.PRESETS.values()
    assert quick["pairs"] < standard["pairs"] < full["pairs"]
    assert quick["methods"] == ["gradient"]
    assert set(standard["methods"]) == set(full["methods"]) == {"transfer", "gradient"}
