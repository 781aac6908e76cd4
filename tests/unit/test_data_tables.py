"""Tables in data/ agree with what they are said to be copied from."""

import pytest
import yaml

from taskspace_utils import load_grammar, runs
from taskspace_utils.pairs import read_pairs
from taskspace_utils.store import data_path, read_table


def test_hypotheses_of_the_grammar_are_its_labels():
    columns = ["task", "phenomenon", "family", "frame"]
    expected = load_grammar().tasks()[columns].sort_values("task")
    table = read_table(data_path("hypotheses", "grammar.csv"))
    assert table.to_dict("records") == expected.to_dict("records")


def test_hypotheses_of_blimp_are_complete():
    table = read_table(data_path("hypotheses", "blimp.csv"))
    assert len(table) == table["task"].nunique() == 67
    assert table["phenomenon"].nunique() == 12
    assert table["field"].nunique() == 4


def test_published_scores_cover_the_same_tasks():
    labels = read_table(data_path("hypotheses", "blimp.csv"))
    scores = read_table(data_path("published", "blimp_models.csv"))
    assert list(scores["task"]) == list(labels["task"])
    assert scores.drop(columns="task").stack().between(0, 1).all()
    # a value worked out by hand once, so that no column is swapped for another
    assert scores["gpt2"].mean() == pytest.approx(0.830, abs=0.0005)


@pytest.mark.data
def test_labels_are_those_of_the_files():
    pairs = read_pairs(runs.data_folder("blimp", "data"))
    labels = pairs[["task", "phenomenon", "field"]].drop_duplicates()
    table = read_table(data_path("hypotheses", "blimp.csv"))
    assert labels.sort_values("task").to_dict("records") == table.to_dict("records")


def test_every_element_of_the_paper_says_where_it_is_from():
    elements = yaml.safe_load(data_path("paper.yml").read_text(encoding="utf-8"))
    keys = {"element", "paper", "source", "ours", "reason", "sensitivity"}
    for element in elements:
        assert set(element) == keys
        assert bool(element["source"]) == (element["paper"] != "unknown"), element["element"]


@pytest.mark.parametrize(
    "folder", ["", "grammar", "hypotheses", "profiles", "published", "reference"]
)
def test_every_folder_of_data_has_a_card(folder):
    assert data_path(folder, "README.md").stat().st_size > 500
