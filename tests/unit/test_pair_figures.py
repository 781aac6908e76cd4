"""The figures of the chapters on pairs: their tables say what they claim, and each is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from taskspace_utils.figures import bag_accuracy, blimp_accuracy, kept_together
from taskspace_utils.store import data_path, write_atomic
from taskspace_utils.tables import Run, read_table, write_table


def test_published_accuracies_are_means_over_the_tasks_of_a_phenomenon():
    table = blimp_accuracy.load()
    assert table.groupby("who")["tasks"].sum().to_dict() == dict.fromkeys(
        blimp_accuracy.PUBLISHED.values(), 67
    )
    raw = read_table(data_path("published", "blimp_models.csv")).set_index("task")
    own = ["anaphor_gender_agreement", "anaphor_number_agreement"]
    row = table.query("phenomenon == 'anaphor_agreement' and who == 'people'")
    assert row["accuracy"].item() == pytest.approx(raw.loc[own, "human"].mean())


def test_a_run_is_compared_on_its_own_tasks_and_stands_on_top(tmp_path):
    rows = [("adjunct_island", 0.9), ("wh_island", 0.7), ("principle_A_c_command", 0.5)]
    accuracy = pd.DataFrame(rows, columns=["task", "accuracy"]).assign(scale="8M", step=10)
    write_atomic(tmp_path / "manifest.json", "{}")
    write_table(tmp_path / "accuracy.csv", accuracy, ["task"])
    table = blimp_accuracy.load(Run(tmp_path), scale="8M", step=10)
    tasks = table.drop_duplicates("phenomenon").set_index("phenomenon")["tasks"]
    assert tasks.to_dict() == {"binding": 1, "island_effects": 2}
    own = table[table["who"] == "this run"].set_index("phenomenon")["accuracy"]
    assert own["island_effects"] == pytest.approx(0.8)
    (ax,) = blimp_accuracy.plot(table).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["binding", "island effects"]


def test_published_results_alone_are_sorted_by_gpt2():
    table = blimp_accuracy.load()
    (ax,) = blimp_accuracy.plot(table).axes
    gpt2 = table[table["who"] == "GPT-2"].sort_values("accuracy")["phenomenon"]
    shown = [label.get_text() for label in ax.get_yticklabels()]
    assert shown == [name.replace("_", " ") for name in gpt2]
    assert len(ax.collections) == len(blimp_accuracy.PUBLISHED) + 1  # and the rows' lines


def test_tasks_without_a_bag_accuracy_have_no_mark():
    checks = pd.DataFrame(
        {"task": ["a", "b", "c"], "phenomenon": ["p", "p", "q"], "pairs": [20, 4, 20]}
        | {"bag_accuracy": [0.5, np.nan, 1.0], "frequency": [np.nan, 0.0, 0.0]}
    )
    table = bag_accuracy.load({"ours": checks, "theirs": checks.head(1)})
    assert table[["panel", "task"]].to_numpy().tolist() == [
        ["ours", "a"], ["ours", "c"], ["theirs", "a"]
    ]  # fmt: skip
    top, bottom = bag_accuracy.plot(table).axes
    assert [label.get_text() for label in top.get_yticklabels()] == ["q", "p"]
    assert [label.get_text() for label in bottom.get_yticklabels()] == ["p"]


def test_reliability_two_ways_is_a_row_a_model_and_task_that_both_have():
    rows = [("S", 1, 100, "a", 0.2), ("S", 1, 100, "b", 0.5), ("S", 2, 400, "a", 0.7)]
    columns = ["scale", "seed", "step", "task", "reliability"]
    alone = pd.DataFrame(rows, columns=columns)
    together = alone.assign(reliability=[0.6, np.nan, -0.1]).iloc[::-1]
    more = pd.DataFrame([("S", 1, 100, "c", 1.0)], columns=columns)
    found = kept_together.load(alone, pd.concat([together, more]), ["a", "c"])
    assert found[["step", "task", "kind"]].to_numpy().tolist() == [
        [100, "a", "go both ways"],
        [400, "a", "go both ways"],
    ]
    assert found[["alone", "together"]].to_numpy().tolist() == [[0.2, 0.6], [0.7, -0.1]]
    other = found.assign(kind="other tasks", task="b", alone=0.1)
    figure = kept_together.plot(pd.concat([found, other]))
    figure.canvas.draw()
    assert [ax.get_title() for ax in figure.axes] == ["step 100", "step 400"]
    assert all(ax.get_xlim()[0] < -0.1 for ax in figure.axes)  # nothing lies outside
    names = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert names == ["go both ways", "other tasks"]
