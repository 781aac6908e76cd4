"""Chapter 8: the planted truth, quarters, the ledger, lesions, withheld constructions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from taskspace_utils import scoring
from taskspace_utils.ftgd import flat_weights, loss_gradient, parameters
from taskspace_utils.studies import examination, lesions, withholding
from taskspace_utils.studies.quarters import PARTS, Quarters

from . import toys

LABELS = pd.DataFrame(
    [
        ("a1", "number", "syntax", "pp", "number"),
        ("a2", "number", "syntax", "simple", "number"),
        ("b1", "binding", "syntax", "pp", "number gender"),
        ("c1", "reversed", "syntax", "simple", "-number"),
        ("d1", "polarity", "syntax", "pp", "polarity"),
        ("d2", "polarity", "syntax", "simple", "polarity"),
        ("s1", "sham", "control", "pp", ""),
    ],
    columns=["task", "family", "field", "frame", "demands"],
).set_index("task", drop=False)
NAMES = list(LABELS.index)


def square(seed: int) -> pd.DataFrame:
    values = np.random.default_rng(seed).uniform(-0.9, 0.9, (len(NAMES), len(NAMES)))
    return pd.DataFrame((values + values.T) / 2, NAMES, NAMES)


def cells_by_hand(words: pd.DataFrame) -> list[tuple]:
    """(a, b, kind, stratum, sham?) of each two tasks, from the labels as one would read them."""
    found = []
    for a, b in combinations(NAMES, 2):
        one, two = ({*LABELS.loc[t, "demands"].split()} for t in (a, b))
        shared = len(one & two) - sum(f"-{d}" in two for d in one)
        shared -= sum(d.startswith("-") and d[1:] in two for d in one)
        kind = (
            "same rule" if LABELS.loc[a, "family"] == LABELS.loc[b, "family"]
            else "shared demand" if shared > 0 else "opposed" if shared < 0 else "unrelated"
        )  # fmt: skip
        w = words.loc[a, b]
        level = sum(w > edge for edge in (-0.4, -0.1, 0.1, 0.4))
        same_frame = LABELS.loc[a, "frame"] == LABELS.loc[b, "frame"]
        found.append((a, b, kind, (level, same_frame), "s1" in (a, b)))
    return found


@pytest.mark.parametrize("question", list(examination.QUESTIONS))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_area_is_a_count_of_comparisons_inside_strata(question, seed):
    space, words = square(seed), square(seed + 10)
    yes, no = examination.QUESTIONS[question]
    cells = [c for c in cells_by_hand(words) if not c[4] or question == "sign"]
    won = tried = 0
    for a, b, kind, stratum, _ in cells:
        for c, d, other, where, _ in cells:
            if kind in yes and other in no and stratum == where:
                tried += 1
                won += space.loc[a, b] > space.loc[c, d]
    exam = examination.Examination(LABELS, words, draws=20)
    found = exam.auc(space, question).value
    assert np.isnan(found) if not tried else found == pytest.approx(won / tried)
    counts = exam.compared().loc[question]
    assert counts["pairs"] == sum(kind in yes for _, _, kind, *_ in cells)
    assert counts["against"] == sum(kind in no for _, _, kind, *_ in cells)


def test_how_tasks_are_related_is_read_from_their_labels():
    words = square(0)
    kinds = examination.Examination(LABELS, words).kinds
    assert (np.diag(kinds) == "own").all()
    for a, b, kind, *_ in cells_by_hand(words):
        assert kinds.loc[a, b] == kinds.loc[b, a] == kind
    assert kinds.loc["a1", "c1"] == "opposed"
    assert kinds.loc["a1", "b1"] == "shared demand"


def test_an_excess_is_a_difference_and_gaps_count_for_neither():
    space, rival, words = square(1), square(2), square(3) * 0
    exam = examination.Examination(LABELS, words, draws=20)
    both = exam.auc(space, "same rule", minus=rival).value
    assert both == pytest.approx(exam.auc(space).value - exam.auc(rival).value)
    holed = rival.copy()
    holed.loc["a1", "a2"] = holed.loc["a2", "a1"] = np.nan
    there = space.where(holed.notna())
    expected = exam.auc(there).value - exam.auc(holed).value
    assert exam.auc(space, "same rule", minus=holed).value == pytest.approx(expected)


def test_what_a_rival_explains_of_unrelated_tasks_is_taken_off():
    given, words = square(4), square(5) * 0
    exam = examination.Examination(LABELS, words)
    left = exam.beyond(3 * given + 0.2, given)
    np.testing.assert_allclose(left, 0.2, atol=1e-12)


def test_a_space_measured_twice_is_as_reliable_as_its_halves_agree():
    exam = examination.Examination(LABELS, square(0), draws=20)
    halves = pd.DataFrame(np.random.default_rng(1).normal(size=(7, 7)), NAMES, NAMES)
    halves += 2 * square(2)
    upper = np.triu_indices(7, 1)
    r = np.corrcoef(halves.to_numpy()[upper], halves.to_numpy().T[upper])[0, 1]
    found = exam.repeatability(halves)
    assert found.value == pytest.approx(max(0, 2 * r / (1 + r)))
    assert found.low <= found.high
    assert exam.repeatability(square(2)).value == pytest.approx(1)


# --------------------------------------------------------------------------------------- quarters


def test_all_parts_together_are_the_gradients_of_all_pairs():
    lm, pairs = toys.gpt2(), toys.english(16)
    quarters = Quarters(lm, pairs)
    whole = {key: loss_gradient(lm, some)[0].double() for key, some in
             pairs.groupby(["task", "split"])}  # fmt: skip
    cosine = lambda u, v: float(u @ v / u.norm() / v.norm())  # noqa: E731
    for a, b in [("agree", "agree"), ("agree", "plural"), ("plural", "reflexive")]:
        expected = cosine(whole[a, "train"], whole[b, "eval"]) / 2
        expected += cosine(whole[b, "train"], whole[a, "eval"]) / 2
        assert quarters.space().loc[a, b] == pytest.approx(expected, abs=1e-4)
    both = whole["agree", "train"] + whole["agree", "eval"]
    np.testing.assert_allclose(quarters.gradient("agree"), both.numpy(), atol=1e-4)


def test_flipped_parts_are_pairs_whose_sides_were_swapped():
    lm, pairs = toys.gpt2(), toys.english(16)
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    part = pairs.groupby(["task", "split"]).cumcount() % PARTS
    turned = pairs.copy()
    swap = part.isin([1, 3])
    turned.loc[swap, ["good", "bad"]] = pairs.loc[swap, ["bad", "good"]].to_numpy()
    expected = Quarters(lm, turned).space()
    np.testing.assert_allclose(Quarters(lm, pairs).space(signs), expected, atol=1e-4)
    for flip in Quarters(lm, pairs).flipped(3):
        assert not np.allclose(flip, Quarters(lm, pairs).space(), atol=1e-2)


# ----------------------------------------------------------------------------------------- ledger


def test_the_ledger_says_whether_a_control_kept_to_what_was_expected():
    ledger = examination.Ledger()
    said = ledger.note("flip", "reliability", 0.0, (0.02, -0.1, 0.1), 0.8)
    assert said == "flip, reliability: expected 0.00, found 0.02 [-0.10, 0.10]"
    ledger.note("step 0", "AUC", 0.5, (0.7, 0.6, 0.8))
    ledger.note("pseudo", "cosine", 1.0, (np.nan, np.nan, np.nan))
    assert list(ledger.table()["inside"]) == ["yes", "NO", "–"]


def test_means_shares_and_survival_by_hand():
    assert all(np.isnan(examination.mean_of(np.array([1.0, 2.0]))))
    mean = examination.mean_of(np.arange(10.0))
    assert mean.low < mean.value == 4.5 < mean.high
    share = examination.share_above(np.array([0.5, 0.97, 0.99, 0.2]))
    assert share.value == 0.5
    assert share.low > 0
    cells = pd.DataFrame({"a": [*"uvw"], "b": [*"vwu"], "shared": [1.0, 2.0, 0.0]})
    cells["apart"] = [0.5, 1.0, 0.3]
    rule = pd.Series({"u": "x", "v": "y", "w": "z"})
    assert examination.survival(cells, rule).value == pytest.approx(0.5)


# ---------------------------------------------------------------------------------------- lesions


@pytest.fixture
def wounded():
    lm, young, pairs = toys.gpt2(seed=0), toys.gpt2(seed=1), toys.english(4)
    text = lm.encode(["the cat sleeps .", "old dogs see a cat ."])
    return lm, young, pairs, text, lesions.Lesions(lm, young, pairs, text)


def test_with_all_weights_put_back_it_is_the_untrained_model(wounded):
    lm, young, pairs, text, hurt = wounded
    before = flat_weights(lm.model)
    lost, worse = hurt.put_back(torch.arange(len(before)))
    tasks = pairs["task"].to_numpy()
    expected = toys.slow_margins(lm, pairs) - toys.slow_margins(young, pairs)
    for task in lost.index:
        assert lost[task] == pytest.approx(expected[tasks == task].mean(), abs=1e-3)
    expected = scoring.text_loss(young.model, text) - scoring.text_loss(lm.model, text)
    assert worse == pytest.approx(expected, abs=1e-4)
    assert torch.equal(flat_weights(lm.model), before)
    none, still = hurt.put_back(torch.tensor([], dtype=torch.long))
    assert none.abs().max() < 1e-6
    assert abs(still) < 1e-6


def test_random_weights_are_as_many_in_every_tensor(wounded):
    lm, *_, hurt = wounded
    gradient = torch.randn(len(flat_weights(lm.model)))
    sets = hurt.sets(gradient, 0.05, np.random.default_rng(0))
    ends = np.cumsum([0, *(p.numel() for p in parameters(lm.model).values())])
    for top, rival in (("its top", "random"), ("its top, blocks", "random, blocks")):
        counts = [np.histogram(sets[name].numpy(), ends)[0] for name in (top, rival)]
        assert (counts[0] == counts[1]).all()
        assert len(set(sets[rival].tolist())) == len(sets[top])
        assert set(sets[rival].tolist()) != set(sets[top].tolist())
    names = list(parameters(lm.model))
    inner = np.histogram(sets["its top, blocks"].numpy(), ends)[0]
    assert not inner[[n for n, name in enumerate(names) if "wte" in name or "wpe" in name]].any()


def test_an_excess_is_what_aim_adds():
    names = ["a", "b", "c"]
    kinds = pd.DataFrame("unrelated", names, names)
    for name in names:
        kinds.loc[name, name] = "own"
    lost = {("a", "its top"): (pd.Series([5.0, 1.0, 2.0], names), 0.1),
            ("b", "its top"): (pd.Series([1.0, 4.0, 2.0], names), 0.2)}  # fmt: skip
    found = lesions.excess(lost, kinds)
    np.testing.assert_allclose(found["its top", "own"], [5 - 1, 4 - 1])
    assert len(found["its top", "same rule"]) == 0
    rows = lesions.by_kind(lost, kinds)
    assert ("a", "its top", "unrelated", 1.5) in rows
    assert ("b", "its top", "text", 0.2) in rows


# --------------------------------------------------------------------------------------- withheld


def withheld_table() -> pd.DataFrame:
    rng, rows = np.random.default_rng(0), []
    for seed in (0, 1, 2):
        for gone in "abcd":
            for task in "abcdefgh":
                kind = "own" if task == gone else "unrelated"
                rows.append((seed, gone, task, kind, *rng.normal(size=4)))
    columns = ["seed", "without", "task", "kind", "loss", "cosine", "lexical_diff", "bigram"]
    return pd.DataFrame(rows, columns=columns)


def test_a_correlation_is_of_what_is_left_without_both_means():
    table = withheld_table()
    views = []
    for column in ("loss", "cosine"):
        mean = table[table["kind"] != "own"].groupby(["without", "task"])[column].mean().unstack()
        mean = mean - mean.mean()
        views.append(mean.sub(mean.mean(axis=1), axis=0).to_numpy().ravel())
    there = np.isfinite(views).all(axis=0)
    expected = spearmanr(views[0][there], views[1][there]).statistic
    cut = withholding.Withheld(table, draws=20)
    assert cut.correlation() == pytest.approx(expected)
    found = cut.correlations({"as it is": ()})
    assert found.loc["as it is", "correlation"] == pytest.approx(expected)
    assert list(found.columns[3:]) == ["seed 0", "seed 1", "seed 2"]


def test_losses_that_are_the_cosines_correlate_and_shuffled_ones_do_not():
    table = withheld_table()
    table["loss"] = table["cosine"]
    cut = withholding.Withheld(table, draws=50)
    assert cut.correlation() == pytest.approx(1)
    assert np.mean(cut.shuffled(())) < 0.5
    single, mean = cut.reliability("loss")
    assert mean == pytest.approx(max(0, 3 * single / (1 + 2 * single)))
    value, low, high = cut.mean_loss("own")
    assert value == pytest.approx(table.loc[table["kind"] == "own", "loss"].mean())
    assert low <= value <= high
