"""Controls: a bigram's space from counts, areas within strata, intervals, the reference."""

from __future__ import annotations

import json
import runpy

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from taskspace_utils import store
from taskspace_utils.controls import (
    SMOOTHING,
    Bigram,
    crossed_interval,
    partial_rank,
    stratified_auc,
)
from taskspace_utils.figures import shams, withheld

# ------------------------------------------------------------------------------------------- bigram

LINES = ["a b .", "a b .", "b a .", "a c ."]


def some_pairs() -> pd.DataFrame:
    rows = [("t", "train", "a b .", "b a ."), ("t", "eval", "a b .", "c b ."),
            ("u", "train", "a c .", "c a ."), ("u", "eval", "b a .", "b b .")]  # fmt: skip
    return pd.DataFrame(rows, columns=["task", "split", "good", "bad"])


def test_a_bigram_model_counts():
    model = Bigram(LINES, ["a", "b", "c", "."])
    assert np.allclose(model.p.sum(axis=1), 1)
    a, b = model.place["a"], model.place["b"]
    assert model.p[a, b] == pytest.approx((2 + SMOOTHING) / (4 + 5 * SMOOTHING))
    steps = [(0, a), (a, b), (b, model.place["."])]
    back = [(0, b), (b, a), (a, model.place["."])]
    by_hand = sum(np.log(model.p[s]) for s in steps) - sum(np.log(model.p[s]) for s in back)
    assert model.margins(some_pairs())[0] == pytest.approx(by_hand)


def test_a_bigram_models_gradient_needs_no_differentiation():
    model, pairs = Bigram(LINES, ["a", "b", "c", "."]), some_pairs()
    weights = torch.tensor(np.log(model.p)).requires_grad_()
    counts = torch.tensor(model.differences(pairs).toarray())
    loss = -(counts * weights.log_softmax(1).flatten()).sum(1).mean()
    (expected,) = torch.autograd.grad(loss, weights)
    assert np.allclose(model.gradient(pairs), expected.numpy())


def test_a_bigrams_space_compares_disjoint_halves():
    model, pairs = Bigram(LINES, ["a", "b", "c", "."]), some_pairs()
    space = model.space(pairs)
    halves = {key: model.gradient(some).ravel() for key, some in pairs.groupby(["task", "split"])}
    cosine = lambda x, y: x @ y / np.linalg.norm(x) / np.linalg.norm(y)  # noqa: E731
    expected = cosine(halves["t", "train"], halves["u", "eval"]) / 2
    expected += cosine(halves["u", "train"], halves["t", "eval"]) / 2
    assert space.loc["t", "u"] == pytest.approx(expected) == pytest.approx(space.loc["u", "t"])
    same = pairs.assign(bad=pairs["good"])
    assert (model.space(same).to_numpy() == 0).all()


# ------------------------------------------------------------------------------ areas and intervals


def test_one_stratum_is_the_area_that_everybody_knows():
    rng = np.random.default_rng(0)
    score, positive = rng.integers(0, 5, 60).astype(float), rng.random(60) < 0.3
    weight = rng.integers(0, 3, 60).astype(float)
    auc = stratified_auc(score, positive, np.zeros(60))
    assert auc(np.ones(60)) == pytest.approx(roc_auc_score(positive, score))
    expected = roc_auc_score(positive, score, sample_weight=weight)
    assert auc(weight) == pytest.approx(expected)


def test_a_difference_between_strata_is_not_counted():
    score = np.array([10.0, 11, 0, 1])
    positive = np.array([True, False, True, False])  # in both strata, the positive is the lower
    once = np.ones(4)
    assert stratified_auc(score, positive, np.zeros(4))(once) == 0.25
    assert stratified_auc(score, positive, np.array([0, 0, 1, 1]))(once) == 0
    assert np.isnan(stratified_auc(score, positive, np.arange(4))(once))


def test_seeds_and_items_are_drawn_at_once():
    values = np.arange(12.0).reshape(3, 4)
    low, high = crossed_interval(lambda s, i: values[np.ix_(s, i)].mean(), 3, 4, draws=400)
    assert 0 <= low < values.mean() < high <= 11
    same = crossed_interval(lambda s, i: 1.0, 3, 4)
    assert same == (1, 1)


def test_few_seeds_give_an_interval_as_long_as_the_t_of_their_mean_and_not_shorter():
    rng = np.random.default_rng(1)
    widths = []
    for values in rng.normal(size=(60, 6)):
        low, high = crossed_interval(lambda s, i, v=values: v[s].mean(), 6, 1, draws=400)
        widths.append((high - low) / (2 * 1.96 * values.std(ddof=1) / np.sqrt(6)))
    assert 0.95 < np.mean(widths) < 1.1  # drawing six of six, they have 0.91 of it


def test_ranks_with_others_partialled_out():
    rng = np.random.default_rng(0)
    common = rng.normal(size=300)
    x, y = common + rng.normal(size=300), common + rng.normal(size=300)
    r = spearmanr(np.column_stack([x, y, common])).statistic
    assert partial_rank(x, y) == pytest.approx(r[0, 1])
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert partial_rank(x, y, common) == pytest.approx(expected)
    assert abs(partial_rank(x, y, common)) < 0.15 < partial_rank(x, y)
    assert np.isnan(partial_rank(x, x * 0, common))


# ------------------------------------------------------------------------------ shams within frames


def test_shams_are_ranked_among_pairs_of_their_own_kind_of_frame():
    names = list("abcdes")
    facts = pd.DataFrame({"task": names, "phenomenon": [*"vwxyz", "sham"]})
    facts["sham_of"] = [*[""] * 5, "a"]
    space, frames = pd.DataFrame(0.0, names, names), pd.DataFrame(0.0, names, names)
    for a, b, value in (("b", "c", 0.5), ("d", "e", 0.7), ("a", "s", 0.6)):
        space.loc[a, b] = space.loc[b, a] = value
        frames.loc[a, b] = frames.loc[b, a] = 1.0
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(6, 6)) * 1e-3
    words = pd.DataFrame(noise + noise.T, names, names)
    alone = shams.load(space, words, facts).set_index("kind").loc[shams.KINDS[2]]
    inside = shams.load(space, words, facts, frames).set_index("kind").loc[shams.KINDS[2]]
    assert alone["share_below"] >= 0.8
    assert 0 <= inside["share_below"] <= 1
    assert inside["frame"] == 1


# ---------------------------------------------------------------------------- the shipped reference


def test_the_withheld_reference_is_whole_and_what_its_script_would_make():
    folder = store.data_path("reference", "withheld")
    about = json.loads((folder / "manifest.json").read_text())
    script = runpy.run_path(str(store.project_root() / "scripts" / "withhold.py"))
    assert about["constructions"] == script["chosen"]()
    assert len(about["constructions"]) == 12
    assert about["seeds"] == list(script["SEEDS"])
    grammar = store.data_path("grammar")
    assert about["grammar"] == store.tree_hash(grammar.glob("*.yml")), "run scripts/withhold.py"
    table = withheld.load()
    assert not table.isna().any().any()
    assert table.groupby(["seed", "without"]).size().nunique() == 1
    assert set(table["without"]) == set(about["constructions"])
    own = table[table["without"] == table["task"]]
    assert (own["kind"] == "own").all()
    assert len(own) == 12 * len(about["seeds"])
