"""Other ways to tune: their losses and weights, what is measured of them, and how they compare."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from taskspace_utils import cells, equal_gain, ftgd, probing, runs, scoring, trainings
from taskspace_utils.store import InputError
from taskspace_utils.studies import lessons, ways, ways_compared, ways_measured, ways_predicted
from taskspace_utils.studies.lessons import LOSSES, SIGMOIDS, Lesson

from . import toys

LINES = [" ".join(words) for words in (("the", "cat", "sleeps", "."), ("a", "dog", "sees", "."))]
TEXTS = {"one": tuple(LINES * 300), "two": tuple(LINES[::-1] * 300)}


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    return toys.english(8)


def train(pairs: pd.DataFrame, task: str = "agree") -> pd.DataFrame:
    return pairs[(pairs["task"] == task) & (pairs["split"] == "train")]


def moved_a_little(lm, size: float = 0.02) -> None:
    """Weights near the start, so that a loss with a reference is not at its first value."""
    start = ftgd.flat_weights(lm.model)
    noise = torch.randn(len(start), generator=torch.Generator().manual_seed(3), dtype=start.dtype)
    ftgd.set_weights(lm.model, start + size * noise)


# --------------------------------------------------------------------------------------- the losses


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_finite_differences(loss, pairs):
    lm = toys.gpt2(double=True)
    lesson = Lesson(lm, train(pairs), loss, beta=0.7 if loss in SIGMOIDS else 0.0)
    moved_a_little(lm)
    at, step = ftgd.flat_weights(lm.model), 1e-3
    gradient = lesson.look()[2]()
    for seed in range(3):
        way = torch.randn(len(at), generator=torch.Generator().manual_seed(seed), dtype=at.dtype)
        way /= way.norm()
        ends = []
        for sign in (1, -1):
            ftgd.set_weights(lm.model, at + sign * step * way)
            ends.append(lesson.look()[0])
        slope = float(gradient @ way)
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=0.01, abs=1e-3)


def test_losses_are_those_of_the_ladder_and_of_preferences(pairs):
    """By sentence scores taken one at a time, and by the package's own gradients."""
    lm, some = toys.gpt2(double=True), train(pairs)
    names = {"plain": "continuation", "critical": "critical", "differential": "differential"}
    for ours, theirs in names.items():
        expected = ftgd.loss_gradient(lm, some, theirs)[0]
        assert torch.allclose(Lesson(lm, some, ours).look()[2](), expected, atol=1e-9)
    before = scoring.margins(lm, some)
    lesson = Lesson(lm, some, "preference", beta=0.7)
    moved_a_little(lm)
    rise = scoring.margins(lm, some) - before
    expected = np.mean(2 / 0.7 * np.log1p(np.exp(-0.7 * rise)))
    value, margin, _ = lesson.look()
    assert value == pytest.approx(expected, rel=1e-6)
    assert margin == pytest.approx(scoring.margins(lm, some).mean(), abs=1e-9)


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0, 10.0])
def test_the_first_step_of_a_preference_is_that_of_the_differential(beta, pairs):
    lm, some = toys.gpt2(double=True), train(pairs)
    g = Lesson(lm, some, "differential").look()[2]()
    first = Lesson(lm, some, "preference", beta).look()[2]()
    assert torch.allclose(first, g, rtol=1e-9, atol=1e-12)


def test_a_preference_weighs_pairs_by_the_sigmoid_of_what_is_missing(pairs):
    """Equation 5.7: β·σ(−β·rise) for each pair; here with its factor 2/β."""
    lm, some = toys.gpt2(double=True), train(pairs)
    before = scoring.margins(lm, some)
    lesson = Lesson(lm, some, "preference", beta=2.0)
    moved_a_little(lm, 0.05)
    weight = 2 / (1 + np.exp(2.0 * (scoring.margins(lm, some) - before)))
    each = [Lesson(lm, some.iloc[[i]], "differential").look()[2]() for i in range(len(some))]
    expected = sum(w * g for w, g in zip(weight, each, strict=True)) / len(some)
    assert torch.allclose(lesson.look()[2](), expected, rtol=1e-3, atol=1e-4)


def test_what_a_model_says_follows_the_beginning_and_its_own_probabilities():
    lm = toys.bigram()
    begin, lengths = [[0, 5]] * 4000 + [[0]] * 10, [3] * 4000 + [4] * 10
    said = lessons.say(lm, begin, lengths, torch.Generator().manual_seed(0))
    assert [len(ids) for ids in said] == lengths
    assert all(ids[: len(start)] == start for ids, start in zip(said, begin, strict=True))
    counts = np.bincount([ids[2] for ids in said[:4000]], minlength=len(lm.model.table))
    expected = lm.model.table[5].softmax(-1).detach().numpy()
    assert np.abs(counts / 4000 - expected).max() < 5 * np.sqrt(0.25 / 4000)
    again = lessons.say(lm, begin, lengths, torch.Generator().manual_seed(0))
    other = lessons.say(lm, begin, lengths, torch.Generator().manual_seed(1))
    assert said == again != other


def test_the_first_step_of_self_play_is_plain_in_expectation(monkeypatch, pairs):
    """The more is said, the nearer; in the bigram model the expectation is known."""
    lm, some = toys.bigram(), train(pairs).head(2)
    plain = Lesson(lm, some, "plain").look()[2]()
    far = []
    for said in (4, 1000):
        monkeypatch.setattr(lessons, "SAID", said)
        first = Lesson(lm, some, "self-play", beta=0.5).look()[2]()
        far.append(float((first - plain).norm() / plain.norm()))
    assert far[1] < 0.1 < far[0]


def test_an_opponent_is_renewed_and_then_it_is_the_model_as_it_is(pairs):
    lm = toys.gpt2()
    lesson = Lesson(lm, train(pairs), "self-play", beta=0.5)
    said, start = lesson.more, lesson.look()[0]
    assert start == pytest.approx(2 / 0.5 * np.log(2), rel=1e-6)
    moved_a_little(lm, 0.1)
    assert lesson.look()[0] != pytest.approx(start, abs=1e-3)
    lesson.renew()
    assert lesson.more != said
    assert lesson.look()[0] == pytest.approx(start, rel=1e-6)


@pytest.mark.parametrize(("loss", "beta"), [("hinge", 0.0), ("preference", 0.0), ("self-play", -1)])
def test_a_loss_that_is_not_there_is_refused(loss, beta, pairs):
    with pytest.raises(InputError, match=r"no loss 'hinge'|needs a beta"):
        Lesson(toys.gpt2(), train(pairs), loss, beta)


# -------------------------------------------------------------------------------------- the weights


def test_low_rank_additions_say_nothing_at_first_and_only_b_has_a_gradient(pairs):
    lm = toys.gpt2(double=True)
    low = ways.low_rank(lm, 2)
    assert np.array_equal(scoring.margins(lm, pairs), scoring.margins(low, pairs))
    named = ftgd.parameters(low.model)
    assert len(named) == 2 * 4 * 2  # A and B of four matrices in each of two blocks
    assert sum(p.numel() for p in named.values()) == 2 * 2 * sum([16 + 48, 32, 16 + 64, 64 + 16])
    gradient = Lesson(low, train(pairs), "differential").look()[2]()
    parts = dict(zip(named, gradient.split([p.numel() for p in named.values()]), strict=True))
    assert all(not g.any() for name, g in parts.items() if name.endswith(".a"))
    assert all(g.any() for name, g in parts.items() if name.endswith(".b"))


def test_the_gradient_of_b_is_that_of_the_matrix_seen_through_a(pairs):
    """At B = 0: ∂L/∂B = Aᵀ ∂L/∂W, with W as inputs by outputs."""
    lm = toys.gpt2(double=True)
    whole = Lesson(lm, train(pairs), "differential").look()[2]()
    sizes = [p.numel() for p in ftgd.parameters(lm.model).values()]
    of = dict(zip(ftgd.parameters(lm.model), whole.split(sizes), strict=True))
    low = ways.low_rank(lm, 3)
    Lesson(low, train(pairs), "differential")
    named = ftgd.parameters(low.model)
    g = Lesson(low, train(pairs), "differential").look()[2]()
    parts = dict(zip(named, g.split([p.numel() for p in named.values()]), strict=True))
    place = "transformer.h.0.mlp.c_fc"
    a = named[f"{place}.parametrizations.weight.0.a"].detach()
    expected = a.T @ of[f"{place}.weight"].view(16, 64)
    found = parts[f"{place}.parametrizations.weight.0.b"].view(3, 64)
    assert torch.allclose(found, expected, atol=1e-9)


def test_a_linear_layer_gets_its_addition_the_other_way_round():
    product = ways._Product(torch.zeros(5, 3), 2, torch.Generator().manual_seed(0), turned=True)
    assert product.a.shape == (3, 2)
    assert product.b.shape == (2, 5)
    with torch.no_grad():
        product.b.fill_(1.0)
    added = product(torch.zeros(5, 3))
    assert added.shape == (5, 3)
    assert torch.linalg.matrix_rank(added) == 1  # B's rows are equal here
    assert torch.allclose(added[0], product.a.sum(1))


def test_a_model_without_known_matrices_is_refused():
    with pytest.raises(InputError, match="no matrices"):
        ways.low_rank(toys.bigram(), 1)


@pytest.mark.parametrize("name", ways.WAYS)
def test_every_way_moves_its_weights_alone_and_leaves_the_model_as_it_was(name, pairs):
    lm, way = toys.gpt2(), ways.WAYS[name]
    before = toys.state(lm)
    with ways.opened(lm, way) as free:
        old = copy.deepcopy(free.model)
        gain, steps, _ = ways.teach(free, train(pairs), way, 0.5)
        assert gain > 0 < steps
        new, free_names = dict(free.model.named_parameters()), ftgd.parameters(old)
        changed = {n for n, p in old.named_parameters() if not torch.equal(p, new[n])}
        moved = sum(int((p != new[n]).sum()) for n, p in old.named_parameters())
        if way.weights == "blocks":
            assert changed == set(free_names) - ftgd.embedding_names(old)
        elif way.weights.startswith("lora"):
            assert changed <= set(free_names)
            assert any(n.endswith(".b") for n in changed)
        elif way.weights.startswith("top"):
            assert 0 < moved <= round(0.01 * len(ftgd.flat_weights(old)))
        else:
            assert changed == set(free_names)
    assert toys.state(lm) == before


# ------------------------------------------------------------------------------------- the teaching


@pytest.mark.parametrize(("loss", "theirs"), [("differential", "differential"),
                                              ("plain", "continuation")])  # fmt: skip
def test_teaching_is_the_tuning_of_the_package(loss, theirs, pairs):
    lm = toys.gpt2()
    config = ftgd.Config(theirs, k=1.0, target=1.0, delta=ways.DELTA, max_displacement=9.0)
    with ftgd.tuned(lm, train(pairs), config) as expected:
        weights = ftgd.flat_weights(lm.model)
    way = ways.Way("", loss)
    with ways.opened(lm, way) as free:
        gain, steps, reason = ways.teach(free, train(pairs), way, 1.0)
        assert (steps, reason) == (expected.steps, expected.reason)
        assert gain == pytest.approx(expected.own_gain, abs=1e-4)
        assert torch.allclose(ftgd.flat_weights(free.model), weights, atol=1e-4)


def test_a_step_promises_no_more_than_a_loss_with_a_floor_can_keep(pairs):
    """With β = 10 the loss begins at 0.14 nats: steps of 0.3 could never keep their half."""
    lm, way = toys.gpt2(), ways.Way("", "preference", beta=10.0)
    gains = []
    with ways.opened(lm, way) as free:
        ways.teach(free, train(pairs), way, 1.0, watch=gains.append)
    assert gains[0] < 0.14
    assert gains[-1] == pytest.approx(1.0, abs=ftgd.TOLERANCE)


def test_a_lesson_that_asks_for_nothing_says_so(pairs):
    same = train(pairs).assign(bad=lambda t: t["good"])
    with ways.opened(toys.gpt2(), ways.WAYS["differential"]) as free:
        assert ways.teach(free, same, ways.WAYS["differential"], 1.0) == (0.0, 0, "zero gradient")


# ------------------------------------------------------------------------------- what is measured


def test_a_climb_reads_what_probing_reads(pairs):
    """Its last row against a tuning of the package, measured by the rooms of the method."""
    table = ways_measured.climb(toys.gpt2(), pairs, "agree", "differential", TEXTS, 1.0)
    lm = toys.gpt2()
    config = ftgd.Config(k=1.0, target=1.0, delta=ways.DELTA, max_displacement=9.0)
    texts = probing.neutral_texts(lm, TEXTS, ways_measured.HARM_TOKENS)
    rows, summary, harm = probing.transfer_row(lm, pairs, "agree", config, texts)
    last = table[table["tuning_step"] == table["tuning_step"].max()].set_index("text")
    own = rows[rows["target"] == "agree"].iloc[0]
    assert last["gain_train"].iloc[0] == pytest.approx(summary["own_gain"], abs=1e-4)
    assert last["gain"].iloc[0] == pytest.approx(
        own["margin_after"] - own["margin_before"], abs=1e-4
    )
    others = rows[rows["target"] != "agree"]
    change = (others["margin_after"] - others["margin_before"]).abs().mean()
    assert last["spread"].iloc[0] == pytest.approx(change, abs=1e-3)
    for text, expected in harm.set_index("text").iterrows():
        assert last["harm_kl"][text] == pytest.approx(expected["harm_kl"], rel=1e-3, abs=1e-6)
        assert last["harm_loss"][text] == pytest.approx(expected["harm_loss"], rel=1e-3, abs=1e-5)
    start = table[table["tuning_step"] == 0]
    assert not start[["gain_train", "gain", "spread", "harm_kl", "harm_loss"]].any(axis=None)


def test_a_row_of_a_space_is_taught_by_one_half_and_read_by_the_other(pairs):
    lm = toys.gpt2()
    rows = ways_measured.moved(lm, pairs, "agree", "differential", "eval", 1.0)
    swapped = pairs.assign(split=pairs["split"].map({"train": "eval", "eval": "train"}))
    config = ftgd.Config(k=1.0, target=1.0, delta=ways.DELTA, max_displacement=9.0)
    expected = probing.transfer_row(lm, swapped, "agree", config)[0].set_index("target")
    change = expected["margin_after"] - expected["margin_before"]
    found = rows.set_index("target")["change"]
    assert np.allclose(found, change[found.index], atol=1e-4)
    other = ways_measured.moved(lm, pairs, "agree", "differential", "train", 1.0)
    assert not np.allclose(other["change"], rows["change"], atol=1e-2)


def test_what_was_kept_is_not_computed_again(tmp_path, monkeypatch, pairs):
    monkeypatch.setenv("TASKSPACES_STORE", str(tmp_path))
    lm, calls, real = toys.gpt2(), [], ways_measured.moved
    inputs = pairs, TEXTS, cells.keep_inputs(pairs, TEXTS)
    monkeypatch.setattr(runs, "training_folder", lambda *asked: tmp_path / "hub")
    monkeypatch.setattr(trainings, "sound", lambda folder: True)
    monkeypatch.setattr(cells, "loaded", lambda source: lm)
    monkeypatch.setattr(ways_measured, "_inputs", lambda *asked: inputs)
    monkeypatch.setattr(ways_measured, "moved", lambda *a, **k: calls.append(1) or real(*a, **k))
    asked, how = ("moved", "smoke", "XS", 60, 0, (), "agree"), {"half": "train", "target": 0.5}
    first = ways_measured.kept(*asked, way="differential", **how)
    again = ways_measured.kept(*asked, way="differential", **how)
    pd.testing.assert_frame_equal(first, again)
    assert len(calls) == 1
    ways_measured.kept(*asked, way="critical", **how)
    assert len(calls) == 2
    for wrong in ((*asked[:-1], "no_task"), ("climbed", *asked[1:])):
        with pytest.raises(InputError, match=r"no_task|climbed"):
            ways_measured.kept(*wrong, way="critical", **how)
    with pytest.raises(InputError, match="no way 'none'"):
        ways_measured.kept(*asked, way="none", **how)


# --------------------------------------------------------------------------------- how they compare


def climbs(factor: float, noise: float = 0.0) -> pd.DataFrame:
    """Two ways of which one spreads `factor` times as much, and harms by its square."""
    rng, rows = np.random.default_rng(0), []
    for seed in (2, 3, 4):
        for source in "abcdef":
            for rung, times in (("differential", 1.0), ("other", factor)):
                here = times * np.exp(noise * rng.normal())
                rows += [
                    (seed, rung, source, step, "t", step, step, 0.5, here * step,
                     here * step**2, 0.0, "") for step in (0.0, 1.0, 2.0)
                ]  # fmt: skip
    names = ["seed", "rung", "source", "tuning_step", "text", "gain_train", "gain", "accuracy"]
    return pd.DataFrame(rows, columns=[*names, "spread", "harm_kl", "harm_loss", "flag"])


def test_a_planted_ratio_is_found_with_its_interval():
    rows = ways_compared.ratios(ways_compared.costs(climbs(1.7, 0.2), 1.5), "spread")
    found = ways_compared.together(rows[rows["rung"] == "other"])
    assert found["low"] < np.log(1.7) < found["high"]
    assert (found["n_seeds"], found["n_tasks"], found["n"]) == (3, 6, 18)
    exact = ways_compared.ratios(ways_compared.costs(climbs(1.7), 1.5), "harm_kl")
    found = ways_compared.together(exact[exact["rung"] == "other"])
    assert np.allclose(found[["value", "low", "high"]].astype(float), np.log(1.7))


def test_tasks_that_did_not_get_there_compare_nothing():
    table = climbs(2.0)
    table = table[~((table["rung"] == "other") & (table["source"] < "c") & (table["gain"] > 1))]
    rows = ways_compared.ratios(ways_compared.costs(table, 1.5), "spread")
    found = ways_compared.together(rows[rows["rung"] == "other"])
    assert (found["n_tasks"], found["n"]) == (4, 12)
    assert ways_compared.ratios(ways_compared.costs(table, 9.0), "spread").empty
    assert np.isnan(ways_compared.together(rows.head(0))["value"])


def spaces(shared: dict[str, float], noise: float = 0.4, n: int = 20) -> ways_compared.Spaces:
    """Ways whose spaces have this much of the model's own, the rest their own; two halves each."""
    rng, rows, tasks = np.random.default_rng(0), [], [f"t{i}" for i in range(n)]
    alone = {way: rng.normal(size=(n, n)) for way in shared}
    for seed in (2, 3, 4):
        model = rng.normal(size=(n, n))
        for way, part in shared.items():
            space = np.sqrt(part) * model + np.sqrt(1 - part) * alone[way]
            for half in ("train", "eval"):
                cells = space + noise * rng.normal(size=(n, n))
                np.fill_diagonal(cells, 1.0)
                scale = rng.uniform(
                    1, 3, size=(n, 1)
                )  # what a nat of own gain costs is divided out
                rows += [(seed, way, half, a, b, (scale * cells)[i, j])
                         for i, a in enumerate(tasks) for j, b in enumerate(tasks)]  # fmt: skip
    names = ["seed", "rung", "half", "source", "target", "change"]
    families = pd.Series([f"f{i // 2}" for i in range(n)], index=tasks)
    return ways_compared.Spaces(pd.DataFrame(rows, columns=names), families)


def test_agreement_is_corrected_for_noise_and_its_ceiling_is_that_of_halves():
    found = spaces({"one": 1.0, "two": 1.0, "half": 0.5})
    assert found.summary(found.agree("one", "two"))["value"] == pytest.approx(1.0, abs=0.03)
    row = found.summary(found.agree("one", "half"))
    assert row["low"] < np.sqrt(0.5) < row["high"]
    assert found.halves("one")["value"] == pytest.approx(1 / (1 + 0.4**2), abs=0.04)
    assert abs(found.summary(found.seeds_agree("one"))["value"]) < 0.1
    assert found.summary(found.seeds_agree("half"))["value"] == pytest.approx(0.5, abs=0.12)
    table = found.table().set_index(["one", "other"])
    assert table.loc[("one", "two"), "value"] == found.agree("one", "two")[0]
    assert len(table) == 3 + 3


def test_agreement_does_not_depend_on_what_ways_are_called_or_which_comes_first():
    found = spaces({"one": 1.0, "half": 0.5})
    assert np.allclose(found.agree("one", "half"), found.agree("half", "one"), equal_nan=True)


def test_a_source_that_did_not_learn_has_no_cells():
    found = spaces({"one": 1.0, "two": 1.0})
    _, n = found.across((2, "one"), (2, "two"))
    assert n == 20 * 19
    moved = found._cells.stack(["seed", "rung", "half"], future_stack=True).rename("change")
    moved = moved.reset_index()
    own = moved.drop_duplicates(["seed", "rung", "half", "source"]).assign(change=1.0)
    own["target"] = own["source"]
    own.loc[(own["source"] == "t3") & (own["half"] == "eval"), "change"] = 0.1
    families = pd.Series({t: t for t in found.tasks})
    less = ways_compared.Spaces(pd.concat([moved, own]), families)
    assert less.across((2, "one"), (2, "two"))[1] == 19 * 19


@pytest.mark.parametrize(
    ("rule", "low", "high", "word"),
    [
        ("like", -0.1, 0.2, "consistent"),
        ("like", 0.3, 0.4, "contrary"),
        ("like", -0.4, -0.3, "contrary"),
        ("like", 0.1, 0.4, "undetermined"),
        ("positive", 0.3, 0.4, "consistent"),
        ("positive", -0.4, -0.3, "contrary"),
        ("positive", -0.1, 0.1, "negligible"),
        ("at least", 0.3, 0.4, "consistent"),
        ("at least", 0.1, 0.2, "contrary"),
        ("like", np.nan, np.nan, "undetermined"),
    ],
)
def test_verdicts_follow_their_rule(rule, low, high, word):
    prediction = ways_predicted.Prediction("", "spread", "", "", rule, 0.25)
    assert ways_predicted.judged(prediction, low, high) == word


def test_planted_answers_decide_the_predictions():
    names = ("plain", "differential", "differential-lora-4", "plain-lora-4")
    found = spaces(dict(zip(names, (0.6, 1.0, 1.0, 0.6), strict=True)), noise=0.1)
    table = climbs(2.0).replace({"rung": {"other": "self-play"}})
    verdicts = ways_predicted.verdicts(ways_compared.costs(table), found).set_index("prediction")[
        "verdict"
    ]
    said = {p.says: p for p in ways_predicted.PREDICTIONS}
    words = {(said[s].measure, said[s].one): word for s, word in verdicts.items()}
    assert words["spread", "self-play"] == "consistent"
    assert words["agreement", "differential"] == "consistent"
    assert words["way or seed", "plain"] == "consistent"
    assert words["spread", "differential-top"] == "undetermined"  # nothing was measured


def test_every_prediction_asks_for_ways_that_there_are():
    for prediction in ways_predicted.PREDICTIONS:
        assert {prediction.one, prediction.other} <= set(ways.WAYS)
        assert prediction.smallest > 0
    assert set(equal_gain.VALUES) >= {"spread", "harm_kl"}
