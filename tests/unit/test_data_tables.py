"""Tables in data/ agree with what they are said to be copied from."""

import re
import runpy

import numpy as np
import pandas as pd
import pytest
import yaml

from taskspace_utils import data_folder, hypotheses, load_grammar
from taskspace_utils.checks import bag_difference
from taskspace_utils.pairs import read_pairs
from taskspace_utils.sample_size import torn
from taskspace_utils.store import InputError, data_path, project_root
from taskspace_utils.tables import read_table, reference_run

SCRIPT = runpy.run_path(str(project_root() / "scripts" / "label_grammar.py"))
DISTANCES = {"adjacent", "short", "long", "order"}


def test_hypotheses_of_the_grammar_are_its_labels():
    table = read_table(data_path("hypotheses", "grammar.csv"))
    expected = SCRIPT["labels"]()
    told = "paradigms.yml has changed: run `python scripts/label_grammar.py`"
    assert table.to_dict("records") == expected.to_dict("records"), told
    given = load_grammar().tasks().set_index("task").sort_index()
    for column in ("phenomenon", "field", "family", "frame", "demands"):
        assert table[column].tolist() == given[column].tolist()
    missing = table.loc[table["reason"] == "", "task"].tolist()
    assert not missing, "tasks without a reason in grammar.csv; see scripts/label_grammar.py"
    assert set(table["distance"]) == DISTANCES


@pytest.mark.parametrize(
    ("reason", "distance"),
    [
        ("boy, laughs: …", "long"),
        ("laughs, boy: …", "long"),
        ("near, laughs: …", "short"),
        ("girls, laughs: …", "adjacent"),
        ("the, laughs: …", "short"),  # the nearest of two
        ("laughs, .: …", "adjacent"),
        ("", ""),
    ],
)
def test_distances_are_counted_in_the_example(reason, distance):
    example = "the boy near the girls laughs . / *the boy near the girls laugh ."
    assert SCRIPT["distance"]("pp", example, reason) == distance


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("boy, laugh: …", "'boy, laugh' are not two words of 'the boy laughs .'"),
        ("boy, boy: …", "are not two words"),
        ("the, boy: …", "neither of 'the, boy' differs"),
        ("the verb agrees", "write `DECIDES, DIFFERS: why`"),
        ("boy: the verb agrees", "write `DECIDES, DIFFERS: why`"),
        ("order: …", "differs in more than order"),
    ],
)
def test_reasons_that_do_not_fit_their_example_are_refused(reason, said):
    with pytest.raises(InputError, match=said):
        SCRIPT["distance"]("simple", "the boy laughs . / *the boy laugh .", reason)


def order_only(pairs) -> set[str]:
    """Tasks in which good and bad are often the same words in another order."""
    same_words = np.diff(bag_difference(pairs, marks=False)[0].indptr) == 0
    share = pd.Series(same_words).groupby(pairs["task"].to_numpy()).mean()
    return set(share.index[share > 0.1])


def test_order_is_said_of_the_tasks_of_the_grammar_whose_words_do_not_differ():
    table = read_table(data_path("hypotheses", "grammar.csv"))
    found = order_only(load_grammar().pairs(20, seed=0))
    assert set(table.loc[table["distance"] == "order", "task"]) == found


def test_demands_plant_likeness_with_signs():
    planted = hypotheses.signed_sharing(read_table(data_path("hypotheses", "grammar.csv")))
    adverbs = planted.loc["sham_adverb_position"]
    assert (adverbs["sham_adverb_pp"], adverbs["sham_adverb_embedded"]) == (1, -1)
    assert adverbs["agreement_simple"] == 0  # its partner: same words and frame, no rule shared
    binding = planted.loc["binding_embedded"]
    assert binding["pronoun_embedded"] < 0 < binding["binding_pp"] < 1


def test_hypotheses_of_blimp_are_complete():
    table = read_table(data_path("hypotheses", "blimp.csv"))
    columns = ["task", "phenomenon", "field", "family", "distance", "frame", "reason"]
    assert list(table.columns) == columns
    assert len(table) == table["task"].nunique() == 67
    assert table["phenomenon"].nunique() == 12
    assert table["field"].nunique() == 4
    assert (table[["family", "frame", "reason"]] != "").all(axis=None)
    assert set(table["distance"]) == DISTANCES | {""}
    undecided = table.loc[table["distance"] == "", "task"]  # no word licenses "ever" there
    assert set(undecided) == {"npi_present_1", "npi_present_2"}


def test_families_of_blimp_are_those_of_the_card():
    table = read_table(data_path("hypotheses", "blimp.csv"))
    card = data_path("hypotheses", "README.md").read_text(encoding="utf-8")
    named = {family: int(n) for family, n in re.findall(r"^\| `(\w+)` \| (\d+) \|", card, re.M)}
    assert named == table["family"].value_counts().to_dict()
    for frame in set(table["frame"]):
        assert f"`{frame}`" in card


def test_theories_can_be_told_apart():
    """No theory is nine tenths explained by the others; family and demands are one theory."""
    for name in ("blimp", "grammar"):
        table = read_table(data_path("hypotheses", f"{name}.csv"))
        theories = ["phenomenon", "field", "family", "distance", "frame"]
        spaces = {c: hypotheses.same_label(table, c) for c in theories}
        vif = hypotheses.inflation(spaces).set_index("hypothesis")["vif"]
        assert vif.between(1, 3).all(), name
        if "demands" in table:
            del spaces["family"]
            spaces["demands"] = hypotheses.signed_sharing(table)
            assert hypotheses.inflation(spaces)["vif"].between(1, 3).all()


def test_published_scores_cover_the_same_tasks():
    labels = read_table(data_path("hypotheses", "blimp.csv"))
    scores = read_table(data_path("published", "blimp_models.csv"))
    assert list(scores["task"]) == list(labels["task"])
    assert scores.drop(columns="task").stack().between(0, 1).all()
    # a value worked out by hand once, so that no column is swapped for another
    assert scores["gpt2"].mean() == pytest.approx(0.830, abs=0.0005)


@pytest.mark.data
def test_labels_are_those_of_the_files():
    pairs = read_pairs(data_folder("blimp", "data"))
    labels = pairs[["task", "phenomenon", "field"]].drop_duplicates()
    table = read_table(data_path("hypotheses", "blimp.csv"))
    given = table[["task", "phenomenon", "field"]]
    assert labels.sort_values("task").to_dict("records") == given.to_dict("records")
    # of one task the words are not always the same: its auxiliary goes with the subject's number
    assert order_only(pairs) == set(table.loc[table["distance"] == "order", "task"])


def test_every_element_of_the_paper_says_where_it_is_from():
    elements = yaml.safe_load(data_path("paper.yml").read_text(encoding="utf-8"))
    keys = {"element", "paper", "source", "ours", "reason", "sensitivity"}
    for element in elements:
        assert set(element) - {"both_ways"} == keys
        assert bool(element["source"]) == (element["paper"] != "unknown"), element["element"]


@pytest.mark.parametrize(
    "folder", ["", "course", "grammar", "hypotheses", "profiles", "published", "reference"]
)
def test_every_folder_of_data_has_a_card(folder):
    assert data_path(folder, "README.md").stat().st_size > 500


FOUR = runpy.run_path(str(project_root() / "scripts" / "four_constructions.py"))


def test_the_four_constructions_are_those_of_the_script_and_cancel_in_every_item():
    path = data_path("course", "four_constructions.csv")
    made = FOUR["pairs"]()
    assert path.read_text(encoding="utf-8") == made.to_csv(index=False, lineterminator="\n"), \
        "run `python scripts/four_constructions.py`"  # fmt: skip
    pairs = read_pairs(path)
    assert pairs["task"].value_counts().eq(FOUR["NUMBER"]).all()
    assert not pairs["good"].duplicated().any()
    assert not set(pairs["good"]) & set(pairs["bad"])
    for _, item in pairs.groupby(["task", "item"]):
        assert not bag_difference(item)[0].sum(axis=0).any(), "a bag of words learns something"
    without = pairs.assign(item="")
    assert torn(without) == ["comparative_than", "since_for", "tag_auxiliary"]
    assert not torn(pairs)


@pytest.mark.parametrize("name", FOUR["COLUMNS"])
def test_the_probes_of_the_four_constructions_are_of_these_pairs(name):
    run = reference_run(name)
    assert not run.faults()
    assert run.manifest["own"] == sorted(task.__name__ for task in FOUR["TASKS"])
    own = run.table("accuracy").set_index("task").loc[run.manifest["own"]]
    assert own["n"].eq(run.manifest["pairs_per_task"]).all()
    assert set(run.table("placement")["b"]) == set(run.manifest["tasks"])
    shipped = reference_run("blimp-8M").manifest["tasks"]
    assert sorted({*shipped, *run.manifest["own"]}) == run.manifest["tasks"]
