"""What a bag of words tells, on pairs where the answer is known; and on BLiMP as published."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import checks
from taskspace_utils.pairs import read_pairs, scan_pairs

from . import toys

NOUNS = ["cat", "dog", "cats", "dogs"]


def test_words():
    assert checks.words("Who didn't the dog's owner see?") == [
        "who", "didn't", "the", "dog's", "owner", "see", "?"
    ]  # fmt: skip
    assert checks.words("Who left, John’s?", marks=False) == ["who", "left", "john’s"]


def test_bag_differences_worked_by_hand():
    pairs = toys.pairs_of(
        {"t": [("the cat sees .", "The cats see."), ("a a b", "b a"), ("x", "x")]}
    )
    matrix, names = checks.bag_difference(pairs)
    assert names == [".", "a", "b", "cat", "cats", "see", "sees", "the", "x"]
    expected = np.zeros((3, 9))
    expected[0, [3, 6]], expected[0, [4, 5]], expected[1, 1] = 1, -1, 1
    np.testing.assert_array_equal(matrix.toarray(), expected)
    bare, without = checks.bag_difference(pairs, marks=False)
    assert without == names[1:]
    np.testing.assert_array_equal(bare.toarray(), expected[:, 1:])


def test_a_word_that_only_good_sentences_have_tells_all():
    pairs = toys.pairs_of({"t": [(f"the {n} sleeps .", f"the {n} sleep .") for n in NOUNS * 5]})
    assert checks.bag_accuracy(pairs) == 1.0


def test_order_tells_a_bag_nothing():
    pairs = toys.pairs_of(
        {"t": [(f"the {n} sees a dog .", f"a dog sees the {n} .") for n in NOUNS * 5]}
    )
    assert checks.bag_accuracy(pairs) == 0.5


def test_a_question_mark_is_no_word():
    """What only its end tells is not told by a bag of words."""
    pairs = toys.pairs_of(
        {"t": [(f"does the {n} sleep ?", f"the {n} does sleep .") for n in NOUNS * 5]}
    )
    assert checks.bag_accuracy(pairs) == 0.5


def test_a_contrast_in_both_directions_tells_nothing():
    """sleeps is right with cat and sleep with cats: a bag that isn't crossed can't know."""
    both = [("sleeps .", "sleep ."), ("sleep .", "sleeps .")] * 20
    assert checks.bag_accuracy(toys.pairs_of({"t": both})) == pytest.approx(0.5, abs=0.15)


def test_which_side_is_turned_round_does_not_matter():
    pairs = toys.pairs_of({"t": [(f"the {n} sleeps .", f"the {n} sleep .") for n in NOUNS * 5]})
    swapped = pairs.assign(good=pairs["bad"], bad=pairs["good"])
    assert checks.bag_accuracy(swapped) == checks.bag_accuracy(pairs, seed=7) == 1.0


def test_too_few_pairs_tell_nothing():
    assert checks.bag_accuracy(toys.english(8).query("task == 'agree'")) == 0.5


def facts(sentences, corpus=None, **changes) -> dict:
    pairs = toys.pairs_of({"t": sentences}).assign(**changes)
    (row,) = checks.check_table(pairs, corpus=corpus).to_dict("records")
    return row


def test_the_table_of_checks_worked_by_hand():
    row = facts(
        [
            ("the cat sleeps.", "the cat sleep."),
            ("the cat.", "a cat."),
            ("a b", "a"),
            ("x", "x"),
        ]
    )
    # the ten words are counted in these sentences: a 3, sleeps 1, sleep 1, the 3
    assert row == pytest.approx(
        {
            "task": "t", "phenomenon": "t", "pairs": 4, "errors": 0, "warnings": 0, "identical": 1,
            "repeated": 0, "words": (3 + 2 + 2 + 1) / 4, "same_length": 0.75,
            "first_word_differs": 0.25, "frequency": 0.0,
            # eval: "a b" against "a", and x twice. b alone differs; b and x are new, a is not
            "split_overlap": 0.0, "split_words": 1 / 3, "bag_accuracy": np.nan,
        },
        nan_ok=True,
    )  # fmt: skip


def test_a_repeated_sentence_counts_each_pair_that_has_it():
    row = facts([("a b", "a c"), ("a b", "a d"), ("x", "a c"), ("y", "z")])
    assert (row["repeated"], row["identical"]) == (3, 0)
    assert facts([("a", "a"), ("b", "c")])["repeated"] == 0  # its own twin is no other pair


def test_the_frequency_of_differing_words_worked_by_hand():
    pairs = [("the cat sleeps .", "the dog sleeps ."), ("a cat runs", "a cat run away")]
    corpus = ["Cat cat, cat!", "runs", "away away away", "the the the the"]
    first = np.log(4) - np.log(1)  # cat 3 times, dog never
    second = np.log(2) - (np.log(1) + np.log(4)) / 2  # runs; run and away
    assert facts(pairs, corpus)["frequency"] == pytest.approx((first + second) / 2)
    assert facts(pairs, iter(corpus))["frequency"] == pytest.approx((first + second) / 2)
    turned = [(bad, good) for good, bad in pairs]
    assert facts(turned, corpus)["frequency"] == pytest.approx(-(first + second) / 2)
    # counted in the pairs' own sentences, of all tasks: cat 3 + 10, dog 1
    both = toys.pairs_of({"t": pairs[:1], "u": [("cat", "cat")] * 6})
    own = checks.check_table(both).set_index("task")["frequency"]
    assert own["t"] == pytest.approx(np.log(14) - np.log(2))
    # neither another order nor a word too many has differing words on both sides
    assert np.isnan(own["u"])
    assert np.isnan(facts([("a b", "b a"), ("a b", "a"), ("x y .", "x y ?")])["frequency"])


def test_what_eval_pairs_share_with_train_pairs_worked_by_hand():
    sentences = [("a cat sleeps", "a cat sleep"), ("the dog runs", "the dog run")]
    sentences += [("a cat runs", "a cat run"), ("one cat swims", "one cat swim")]
    row = facts(sentences)  # the second half is for eval
    assert row["split_overlap"] == 2 / 4  # runs and run; swims and swim are new
    assert row["split_words"] == 4 / 7  # a, cat, runs, run of those and one, swims, swim
    for split in ("", "train", "eval"):
        row = facts(sentences, split=split)
        assert np.isnan(row["split_overlap"])
        assert np.isnan(row["split_words"])
    assert np.isnan(facts([("a b", "b a")] * 4)["split_overlap"])  # nothing differs but the order


def test_the_bag_is_in_the_table_from_ten_pairs_on():
    sure = [(f"{n} sleeps", f"{n} sleep") for n in "abcdefghij"]
    assert facts(sure)["bag_accuracy"] == 1.0
    assert np.isnan(facts(sure[:9])["bag_accuracy"])


def test_checks_do_not_depend_on_order_or_index_of_the_rows():
    pairs = toys.english(8)
    shuffled = pairs.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(checks.check_table(pairs), checks.check_table(shuffled))


def test_the_terminal_shows_every_check_within_120_columns():
    long = "a_task_whose_name_is_so_long_that_no_terminal_could_ever_show_it_in_full"
    sure = [(f"{n} sleeps", f"{n} sleep") for n in "abcdefghijklmnopqrst"]
    table = checks.check_table(toys.pairs_of({long: sure * 50, "u": sure}))
    shown = [column for column, _ in checks.HEADINGS.values()]
    assert ["task", "phenomenon", *shown] == list(table.columns)
    lines = checks.as_text(table.assign(frequency=-10.0, warnings=99999)).split("\n")
    assert max(map(len, lines)) <= 120
    assert lines[0].split() == ["task", *checks.HEADINGS]
    assert lines[1].split()[0] == "a_task_whose_name_is_…d_ever_show_it_in_full"
    assert len(lines) == 3 + len(shown)
    without = checks.as_text(table.assign(split_overlap=np.nan)).split("\n")
    assert "seen" not in without[0]
    assert not any("seen:" in line for line in without)
    assert checks.as_text(table.assign(frequency=[np.nan, 1.0])).split("\n")[1].count("–") == 1


def test_shared_words_worked_by_hand():
    pairs = toys.pairs_of(
        {
            "who": [("who left .", "that left ."), ("who sings .", "that sings .")],
            "that": [("that sleeps ?", "who sleeps .")],
            "both": [("who eats", "that eat")],  # half of what differs is who and that
            "order": [("the cat sees a dog", "a dog sees the cat")],
            "other": [("the cats", "the cat")],
        }
    )
    table = checks.shared_words(pairs)
    assert list(table.columns) == ["a", "b", "shared"]
    assert len(table) == 25
    found = table.pivot(index="a", columns="b", values="shared")
    assert found.index.tolist() == found.columns.tolist() == sorted(set(pairs["task"]))
    nan = np.nan
    expected = [
        [1, nan, 0, 0.5, 0.5],
        [nan] * 5,
        [0, nan, 1, 0, 0],
        [0.5, nan, 0, 1, 1],
        [0.5, nan, 0, 1, 1],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_faults_are_counted_for_their_task(tmp_path):
    path = tmp_path / "a.csv"
    rows = ["UID,pairID,sentence_good,sentence_bad", *(f"a,{i},g{i},b{i}" for i in range(4))]
    rows += ["b,0,same,same", "b,0,x,y", *(f"b,{i},g{i},b{i}" for i in range(1, 4))]
    path.write_text("\n".join(rows) + "\n")
    table = checks.check_table(*scan_pairs(path)).set_index("task")
    assert table[["pairs", "errors", "warnings"]].to_numpy().tolist() == [[4, 0, 0], [5, 1, 1]]
    assert table["identical"].tolist() == [0, 1]


def test_a_fault_is_not_another_tasks_because_its_message_names_it(tmp_path):
    """Task b repeats the pair "a": that is no fault of task a; task c is too small as a whole."""
    path = tmp_path / "a.csv"
    rows = ["UID,pairID,sentence_good,sentence_bad", *(f"a,{i},g{i},b{i}" for i in range(4))]
    rows += [*(f"b,{i},g{i},b{i}" for i in range(4)), "b,a,x,y", "b,a,z,v", "c,0,x,y"]
    path.write_text("\n".join(rows) + "\n")
    table = checks.check_table(*scan_pairs(path)).set_index("task")
    assert table["errors"].to_dict() == {"a": 0, "b": 1, "c": 1}


def test_lengths_in_tokens_and_the_first_difference():
    sentences = [
        ("the cat .", "the cats ."),
        ("a cat", "a cat ."),
        ("the", "a"),
        ("cat .", "cat ."),
    ]
    for changes in ({}, {"bos_id": None, "bos": "none"}):
        pairs = toys.pairs_of({"t": sentences if not changes else sentences[:2] + sentences[3:]})
        found = checks.token_lengths(toys.bigram(**changes), pairs)
        expected = [[3, 3, 1], [2, 3, 2], [1, 1, 0], [2, 2, -1]]
        expected = expected if not changes else expected[:2] + expected[3:]
        columns = ["tokens_good", "tokens_bad", "first_difference"]
        assert found[columns].to_numpy().tolist() == expected


# -------------------------------------------------------------------------------------------- BLiMP


@pytest.fixture(scope="module")
def blimp():
    return read_pairs(Path(os.environ["TASKSPACES_DATA"], "blimp", "data"))


@pytest.mark.data
def test_blimp_as_published(blimp):
    assert blimp["task"].nunique() == 67
    assert (blimp["task"].value_counts() == 1000).all()
    assert blimp["phenomenon"].nunique() == 12
    assert set(blimp["field"]) == {"morphology", "semantics", "syntax", "syntax_semantics"}
    same = blimp[blimp["good"] == blimp["bad"]]["task"].value_counts()
    assert same.to_dict() == {"passive_1": 2, "principle_A_case_2": 5}
    faults = scan_pairs(Path(os.environ["TASKSPACES_DATA"], "blimp", "data"))[1]
    assert not any(f.error for f in faults)
    assert sum(f.kind == "identical pair" for f in faults) == 7


@pytest.fixture(scope="module")
def blimp_checks(blimp):
    begin = time.process_time()
    table = checks.check_table(blimp).set_index("task")
    table.attrs["seconds"] = time.process_time() - begin
    return table


@pytest.mark.data
def test_checks_of_blimp_as_published(blimp_checks):
    assert blimp_checks["identical"].sum() == 7
    assert blimp_checks["first_word_differs"].mean() == pytest.approx(0.12, abs=0.005)
    assert blimp_checks["split_overlap"].isna().all()  # as published it has no split
    assert blimp_checks.attrs["seconds"] < 60  # about 4 on one core


@pytest.mark.data
def test_a_bag_of_words_solves_half_of_blimp(blimp_checks):
    assert (blimp_checks["bag_accuracy"] >= 0.90).sum() == 35
    # good and bad have the same words and end in ? and . ; a bag with marks would solve it too
    assert blimp_checks.loc["matrix_question_npi_licensor_present", "bag_accuracy"] == 0.5
    # where the words never differ, neither do their frequencies
    order = blimp_checks[blimp_checks["bag_accuracy"] == 0.5]
    assert len(order) == order["frequency"].isna().sum() == 13


@pytest.mark.data
def test_words_that_tasks_of_blimp_share(blimp):
    table = checks.shared_words(blimp)
    found = table.pivot(index="a", columns="b", values="shared")
    assert found.shape == (67, 67)
    assert found.loc["wh_vs_that_no_gap", "wh_vs_that_with_gap"] > 0.95  # who, that
    assert found.loc["wh_vs_that_no_gap", "npi_present_1"] == 0
    assert found["adjunct_island"].isna().all()


def test_a_reader_who_has_seen_enough_is_no_fault(tmp_path):
    """`taskspaces check-pairs … | head`: nothing is to be mended, so nothing is said."""
    path = tmp_path / "pairs.csv"
    path.write_text("good,bad,task\n" + "".join(f"the {n} .,{n} the .,t\n" for n in "abcdef"))
    script = "from taskspace_utils.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", script, "check-pairs", path], stdout=writing,
                          stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
