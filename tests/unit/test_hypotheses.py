"""Hypothesis spaces, the lexical control against a unigram model, and planted effects."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kstest

from taskspace_utils import ftgd, hypotheses, spaces
from taskspace_utils.store import InputError, project_root

from . import toys
from .test_spaces import random_space


def test_a_hypothesis_space_worked_by_hand():
    tasks = pd.DataFrame({"task": list("cabd"), "rule": ["x", "x", "y", ""]})
    found = hypotheses.same_label(tasks, "rule")
    assert found.index.tolist() == found.columns.tolist() == list("abcd")
    # a task without a label is like no other
    assert found.to_numpy().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    with pytest.raises(InputError, match="no hypothesis 'frame'; the table has task, rule"):
        hypotheses.same_label(tasks, "frame")
    missing = pd.DataFrame({"task": list("ab"), "rule": [np.nan, np.nan]})
    assert hypotheses.same_label(missing, "rule").to_numpy().sum() == 0


def demands(**cells) -> pd.DataFrame:
    return pd.DataFrame({"task": list(cells), "demands": list(cells.values())})


def test_signed_sharing_worked_by_hand():
    tasks = demands(
        pp="number head", simple="number", not_="-number  -head", none="", mixed="-head number"
    )
    found = hypotheses.signed_sharing(tasks)
    assert found.index.tolist() == found.columns.tolist() == sorted(tasks["task"])
    half = np.sqrt(0.5)
    expected = pd.DataFrame(
        [
            [1, 0, 0, 0, half],  # mixed: one feature the same way, one turned round
            [0, 1, 0, 0, 0],  # none
            [0, 0, 1, -1, -half],  # not_
            [0, 0, -1, 1, half],  # pp
            [half, 0, -half, half, 1],  # simple
        ]
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert hypotheses.signed_sharing(demands(a="", b="")).to_numpy().tolist() == [[1, 0], [0, 1]]
    # a hypothesis of labels is the case of one name a task
    labels = demands(a="x", b="y", c="x")
    pd.testing.assert_frame_equal(
        hypotheses.signed_sharing(labels), hypotheses.same_label(labels, "demands")
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number, head", "'number,' is no name"),
        ("- head", "'-' is no name"),
        ("--head", "'--head' is no name"),
        ("1st", "'1st' is no name"),
        ("head number head", "'head' stands there twice"),
        ("head -head", "'head' stands there twice"),
    ],
)
def test_malformed_demands_are_refused(text, said):
    tasks = demands(a="head", b=text).rename(columns={"demands": "rule"})
    with pytest.raises(InputError, match=f"task 'b', column 'rule': {said}"):
        hypotheses.signed_sharing(tasks, "rule")
    with pytest.raises(InputError, match="no hypothesis 'demands'; the table has task, rule"):
        hypotheses.signed_sharing(tasks)


@pytest.mark.parametrize("space", [hypotheses.same_label, hypotheses.signed_sharing])
def test_tables_of_hypotheses_have_one_row_a_task(space):
    twice = pd.DataFrame({"task": list("aba"), "rule": list("xyz")})
    with pytest.raises(InputError, match="task 'a' has two rows"):
        space(twice, "rule")
    with pytest.raises(InputError, match="no column 'task'; the table has rule"):
        space(twice[["rule"]], "rule")


def test_blanks_are_no_label():
    tasks = pd.DataFrame({"task": list("abcd"), "rule": [" ", " ", "x", "x "]})
    found = hypotheses.same_label(tasks, "rule").to_numpy()
    assert found.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


# ---------------------------------------------------------------------------------- lexical control


def test_lexical_diff_is_a_unigram_models_gradient_space():
    """log P(s) = Σ b[w] − n·log Z, so g = bag(bad) − bag(good) where both have n words."""
    pairs = toys.pairs_of(
        {
            "agree": [("the cat sleeps .", "the cat sleep ."), ("a dog sees .", "a dog see .")],
            "plural": [("the cats sleep .", "the cats sleeps .")] * 2,
            "number": [("a cat sleeps .", "a cats sleep .")] * 2,
        }
    )
    even = toys.bind(toys.Unigram(torch.randn(len(toys.tokenizer()))))
    names = sorted(set(pairs["task"]))
    g = [ftgd.loss_gradient(even, pairs[pairs["task"] == t])[0].double().numpy() for t in names]
    cosine = [[v @ w / np.linalg.norm(v) / np.linalg.norm(w) for w in g] for v in g]
    table = hypotheses.lexical_diff(pairs)
    np.testing.assert_allclose(spaces.square(table, "lexical_diff"), cosine, atol=1e-6)
    assert np.unique(np.abs(np.round(cosine, 3))).size > 2


def test_lexical_diff_worked_by_hand():
    pairs = toys.pairs_of(
        {
            "who": [("who left", "that left"), ("who sings", "that sings")],
            "that": [("that sleeps", "who sleeps")],
            "both": [("who eats", "that eat")],  # half of it is who/that
            "order": [("the cat sees a dog", "a dog sees the cat")],
        }
    )
    table = hypotheses.lexical_diff(pairs)
    found = spaces.square(table, "lexical_diff")
    half = np.sqrt(0.5)
    assert found.index.tolist() == ["both", "order", "that", "who"]
    expected = [
        [1, np.nan, -half, half],
        [np.nan] * 4,
        [-half, np.nan, 1, -1],
        [half, np.nan, -1, 1],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    filled = hypotheses.lexical_space(table)
    assert filled.loc["order"].tolist() == [0, 1, 0, 0]
    assert filled.loc["who", "that"] == pytest.approx(-1)


def test_lexical_diff_does_not_depend_on_the_order_of_rows():
    pairs = toys.english(8)
    one = hypotheses.lexical_diff(pairs)
    other = hypotheses.lexical_diff(pairs.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(one, other, atol=1e-12)


# --------------------------------------------------------------------------------------- regression


def planted(n: int = 20, noise: float = 0.5, seed: int = 0) -> tuple:
    x, z, e = (random_space(n, seed + i) for i in (100, 200, 300))
    z = 0.6 * x + 0.8 * z  # correlated controls
    return 2 * x - 1 * z + noise * e, {"x": x, "z": z}


def test_planted_slopes_are_recovered():
    y, both = planted(noise=1e-9)
    found = hypotheses.regress(y, both, permutations=99).set_index("hypothesis")
    spread = spaces.cells(y).std()
    for name, slope in (("x", 2), ("z", -1)):
        standard = slope * spaces.cells(both[name]).std() / spread
        assert found.loc[name, "slope"] == pytest.approx(standard, abs=1e-6)
        assert found.loc[name, "p"] == 1 / 100
    assert found["r2"].tolist() == pytest.approx([1, 1])
    assert set(found["n_tasks"]) == {20}


def test_slopes_and_r2_are_least_squares():
    y, both = planted()
    found = hypotheses.regress(y, both, permutations=1).set_index("hypothesis")
    design = np.column_stack([np.ones(190), *(spaces.cells(h) for h in both.values())])
    target = spaces.cells(y)
    beta = np.linalg.solve(design.T @ design, design.T @ target)
    for i, name in enumerate(both, start=1):
        assert found.loc[name, "slope"] == pytest.approx(
            beta[i] * design[:, i].std() / target.std()
        )
    rest = target - design @ beta
    assert found["r2"].iloc[0] == pytest.approx(1 - rest.var() / target.var())


def test_variance_inflation_is_one_over_what_the_others_leave():
    y, both = planted()
    r = np.corrcoef(*(spaces.cells(h) for h in both.values()))[0, 1]
    found = hypotheses.regress(y, both, permutations=1)
    assert found["vif"].tolist() == pytest.approx([1 / (1 - r**2)] * 2)
    alone = hypotheses.regress(y, {"x": both["x"]}, permutations=1)
    assert alone["vif"].item() == pytest.approx(1)
    same = hypotheses.regress(y, {"x": both["x"], "copy": both["x"] * 3}, permutations=1)
    assert np.isinf(same["vif"]).all()


def test_variance_inflation_is_the_same_before_anything_is_measured():
    y, both = planted()
    regressed = hypotheses.regress(y, both, permutations=1)
    pd.testing.assert_frame_equal(hypotheses.inflation(both), regressed[["hypothesis", "vif"]])
    # tasks that one of them does not know are left out of both
    names = y.index
    holes = both["x"].copy()
    holes.loc[names[0], names[1]] = holes.loc[names[1], names[0]] = np.nan
    some = {"x": holes, "z": both["z"].drop(index=names[2], columns=names[2])}
    regressed = hypotheses.regress(y, some, permutations=1)
    assert set(regressed["n_tasks"]) == {18}
    pd.testing.assert_frame_equal(hypotheses.inflation(some), regressed[["hypothesis", "vif"]])
    assert hypotheses.inflation(some)["vif"].tolist() != hypotheses.inflation(both)["vif"].tolist()


def test_variance_inflation_of_three_is_the_diagonal_of_the_inverse_correlations():
    three = {**planted()[1], "w": random_space(20, 7)}
    correlations = np.corrcoef([spaces.cells(h) for h in three.values()])
    expected = np.diag(np.linalg.inv(correlations))
    assert hypotheses.inflation(three)["vif"].tolist() == pytest.approx(expected.tolist())


def test_hypotheses_whose_inflation_means_nothing_are_refused():
    x, four = random_space(6, 1), random_space(4, 2)
    with pytest.raises(InputError, match="4 tasks have values in all spaces"):
        hypotheses.inflation({"x": four})
    with pytest.raises(InputError, match="hypothesis 'one' is the same for all"):
        hypotheses.inflation({"x": x, "one": x * 0 + 1})
    with pytest.raises(InputError, match="no hypotheses"):
        hypotheses.inflation({})


def test_a_control_takes_what_is_its_own():
    """y follows z only; x merely resembles z. Beside z, x explains nothing."""
    x, z, e = (random_space(20, i) for i in (1, 2, 3))
    x = 0.7 * z + 0.7 * x
    y = z + 0.5 * e
    alone = hypotheses.regress(y, {"x": x}, 199).set_index("hypothesis")
    assert alone.loc["x", "p"] <= 0.05
    both = hypotheses.regress(y, {"x": x, "z": z}, 199).set_index("hypothesis")
    assert abs(both.loc["x", "slope"]) < abs(alone.loc["x", "slope"]) / 3
    assert both.loc["z", "p"] <= 0.05
    assert both.loc["x", "p"] > 0.05


def test_p_values_are_uniform_where_nothing_is_to_find():
    found = []
    for seed in range(60):
        y, x, z = (random_space(8, 3 * seed + i) for i in range(3))
        y = y + z
        found.append(hypotheses.regress(y, {"x": x, "z": z}, 39, seed)["p"].iloc[0])
    assert np.mean(np.array(found) <= 0.05) <= 0.13
    assert kstest(found, "uniform").pvalue > 0.01


def test_tasks_without_values_are_left_out():
    y, both = planted()
    gap = y.copy()
    gap.loc["t03", "t05"] = gap.loc["t05", "t03"] = np.nan
    found = hypotheses.regress(gap, both, permutations=1)
    assert found["n_tasks"].iloc[0] == 19
    fewer = {"x": both["x"].iloc[:6, :6]}
    assert hypotheses.regress(y, fewer, permutations=1)["n_tasks"].item() == 6
    holes = both["x"].copy()
    holes.loc["t07", :] = holes.loc[:, "t07"] = np.nan  # a lexical control may lack a task too
    assert hypotheses.regress(y, {"x": holes}, permutations=1)["n_tasks"].item() == 19


def test_what_cannot_be_regressed_is_refused():
    y, both = planted()
    with pytest.raises(InputError, match="4 tasks have values"):
        hypotheses.regress(y.iloc[:4, :4], both)
    flat = pd.DataFrame(1.0, index=y.index, columns=y.index)
    with pytest.raises(InputError, match="'flat' is the same for all pairs"):
        hypotheses.regress(y, {"flat": flat})


def test_what_cannot_be_explained_is_refused():
    """0.1 everywhere has, as numbers round, a small spread; a p of it would mean nothing."""
    y, x = (random_space(6, seed) for seed in (0, 1))
    infinite = y.replace(y.iloc[0, 1], np.inf)
    for level in (0.0, 0.1):
        with pytest.raises(InputError, match="the space is the same for all pairs"):
            hypotheses.regress(y * 0 + level, {"x": x})
        with pytest.raises(InputError, match="hypothesis 'x' is the same for all pairs"):
            hypotheses.regress(y, {"x": x * 0 + level})
    with pytest.raises(InputError, match="the space has values that are not finite"):
        hypotheses.regress(infinite, {"x": x})
    with pytest.raises(InputError, match="hypothesis 'x' has values that are not finite"):
        hypotheses.inflation({"x": infinite})
    with pytest.raises(InputError, match="name at least one"):
        hypotheses.regress(y, {})
    with pytest.raises(InputError, match="permutations is 0; it must be at least 1"):
        hypotheses.regress(y, {"x": x}, permutations=0)


def test_the_matrix_of_chapter_9_leaves_tasks_without_a_label_alone():
    """A reader's own theory says nothing of some tasks: the chapter must run with it."""
    text = (project_root() / "notebooks/09_hypotheses.md").read_text(encoding="utf-8")
    body = re.search(r"^def alike.*?(?=^\w)", text, re.MULTILINE | re.DOTALL)[0]
    given = {"pd": pd}
    exec(body, given)
    tasks = pd.DataFrame({"task": list("abcde"), "mine": ["x", "", "x", "", "y"]})
    own = given["alike"](tasks["task"], tasks["mine"])
    assert own.equals(hypotheses.same_label(tasks, "mine"))
    assert own.to_numpy().sum() == 5  # a and c, both ways; a, c and e with themselves
