"""Spaces in which no theory is true, and the counting of what tests report there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from taskspace_utils.store import data_path, project_root
from taskspace_utils.studies import nulls
from taskspace_utils.tables import read_table

FAMILY = pd.Series({f"t{i:02}": f"f{i // 3}" for i in range(18)})


def test_a_clustered_space_has_the_share_that_was_asked_for():
    rng = np.random.default_rng(0)
    same = FAMILY.to_numpy()[:, None] == FAMILY.to_numpy()
    same &= ~np.eye(18, dtype=bool)
    for clustered, share in ((True, 0.3), (False, 0.0)):
        made = [nulls.null_space(FAMILY, clustered, rng).to_numpy() for _ in range(40)]
        mean = np.mean(made, axis=0)
        assert mean[same].mean() == pytest.approx(share, abs=0.03)
        assert mean[~same & ~np.eye(18, dtype=bool)].mean() == pytest.approx(0, abs=0.02)
        np.testing.assert_allclose(np.diag(mean), 1)


def test_labels_go_to_families_or_to_tasks_in_groups_of_the_same_sizes():
    rng = np.random.default_rng(0)
    whole, single = (nulls.null_labels(FAMILY, whole, rng) for whole in (True, False))
    assert whole.groupby(FAMILY).nunique().eq(1).all()
    assert single.groupby(FAMILY).nunique().gt(1).any()
    assert whole.value_counts().tolist() == single.value_counts().tolist() == [6, 6, 6]


def test_rates_worked_by_hand():
    found = [{"one": 0.05, "two": np.nan}, {"one": 0.2, "two": np.nan}, {"one": 0.0}, {"one": 1.0}]
    table = nulls.rates(found, space="x")
    assert table["test"].tolist() == ["one"]  # a test that never ran has no rate
    row = table.iloc[0]
    assert (row["draws"], row["rate"], row["space"]) == (4, 0.5, "x")
    assert 0.1 < row["low"] < 0.5 < row["high"] < 0.9


def test_tests_by_task_call_likeness_of_families_a_theory_and_tests_by_family_do_not():
    found = [nulls.label_tests(FAMILY, True, True, seed, 39) for seed in range(12)]
    rates = nulls.rates(found).set_index("test")["rate"]
    assert rates["difference, tasks permuted"] > 0.5
    assert rates["difference beyond families, families permuted"] < 0.35


def test_a_small_table_has_a_row_for_each_test_and_null():
    found = nulls.table(FAMILY, 1, 1, permutations=19)
    assert set(found["space"]) == {"exchangeable", "clustered"}
    assert set(found["labels"]) == {"by task", "by family", ""}
    assert found["rate"].isin([0, 1]).all()
    assert not found.duplicated(["test", "space", "labels"]).any()
    pd.testing.assert_frame_equal(found, nulls.table(FAMILY, 1, 1, permutations=19))


def test_the_published_rates_are_of_these_tests_and_of_the_tasks_of_the_grammar():
    published = read_table(data_path("reference", "false_positives.csv"))
    labels = read_table(data_path("hypotheses", "grammar.csv"))
    real = labels[labels["field"] != "control"]
    assert set(published["n_tasks"]) == {len(real)}
    assert set(published["n_families"]) == {real["family"].nunique()}
    tests = nulls.table(FAMILY, 1, 1, permutations=19)
    columns = ["test", "space", "labels"]
    assert set(map(tuple, published[columns].to_numpy())) == set(
        map(tuple, tests[columns].to_numpy())
    )
    assert published["draws"].min() >= 40
    assert published["rate"].between(published["low"], published["high"]).all()
    card = data_path("reference", "README.md").read_text(encoding="utf-8")
    assert "false_positives.csv" in card
    assert (project_root() / "scripts" / "false_positives.py").is_file()
