"""How alike kinds of models are: found again where it was planted, and by plain loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from taskspace_utils.controls import partial_rank
from taskspace_utils.figures import kinds, variance_shares
from taskspace_utils.studies import alike

KINDS, SEEDS = ["x", "y", "z"], [1, 2, 3, 4]
MODELS = pd.MultiIndex.from_product([KINDS, SEEDS], names=["architecture", "seed"])
TASKS = [f"t{i:02}" for i in range(30)]
CELLS = pd.MultiIndex.from_tuples(list(combinations(TASKS, 2)), names=["a", "b"])
FAMILY = pd.Series([f"f{i // 3}" for i in range(30)], TASKS)


def planted(variances: dict[str, float], noise: float = 0.0, seed: int = 0):
    """Two measurements of cells whose four parts have the variances given."""
    rng = np.random.default_rng(seed)
    shape = {"common": (1, 1), "kind": (3, 1), "seed": (1, 4), "model": (3, 4)}
    cube = sum(np.sqrt(v) * rng.normal(size=(len(CELLS), *shape[n])) for n, v in variances.items())
    values = np.broadcast_to(cube, (len(CELLS), 3, 4)).reshape(len(CELLS), 12)
    pairs = [noise * rng.normal(size=(len(CELLS), 1)) for _ in "ud"]  # of pairs all models share
    return tuple(pd.DataFrame(values + some, CELLS, MODELS) for some in pairs)


def test_means_by_kind_are_those_of_a_plain_loop_and_never_of_one_seed():
    up, _ = planted({"common": 1, "kind": 0.5, "seed": 2, "model": 0.5})
    found = alike.Alike(up, alike.ranks(up), FAMILY, draws=3).mean
    for one in KINDS:
        for other in KINDS:
            values = [
                spearmanr(up[one, s], up[other, t])[0] for s in SEEDS for t in SEEDS if s != t
            ]
            assert found.loc[one, other] == pytest.approx(np.mean(values), abs=1e-12)


def test_numbers_weigh_large_cells_and_ranks_do_not():
    rng = np.random.default_rng(5)
    large = np.where(np.arange(len(CELLS)) % 20 == 0, 5.0, 0.0)[:, None]
    some = pd.DataFrame(large + 0.1 * rng.normal(size=(len(CELLS), 12)), CELLS, MODELS)
    by_rank, by_number = (alike.between(alike.Alike(some, how(some), FAMILY, 2).mean)
                          for how in (alike.ranks, alike.numbers))  # fmt: skip
    oracle = np.corrcoef(some["x", 1], some["y", 2])[0, 1]
    assert by_number == pytest.approx(oracle, abs=0.01)
    assert by_rank < 0.3 < 0.95 < by_number


def test_a_kind_that_is_nobody_is_not_found_and_one_that_is_is():
    none, _ = planted({"common": 1, "model": 0.5})
    found = alike.Alike(none, alike.ranks(none), FAMILY).estimate(alike.gap)
    assert found["low"] < 0 < found["high"]
    some, _ = planted({"common": 1, "kind": 0.5, "model": 0.5})
    found = alike.Alike(some, alike.ranks(some), FAMILY).estimate(alike.gap)
    assert 0.1 < found["low"] < found["value"] < found["high"] < 0.4


def test_noise_of_pairs_that_all_models_share_is_not_taken_for_likeness():
    quiet = planted({"common": 1, "model": 1})
    loud = planted({"common": 1, "model": 1}, noise=1.5)
    plain = [
        alike.between(alike.Alike(u, alike.ranks(u), FAMILY, 2).mean) for u, _ in (quiet, loud)
    ]
    freed = [alike.between(alike.Alike(u, alike.corrected(u, d), FAMILY, 2).mean)
             for u, d in (quiet, loud)]  # fmt: skip
    assert plain[1] > plain[0] + 0.2
    assert freed[1] == pytest.approx(freed[0], abs=0.08)
    assert freed[0] == pytest.approx(plain[0], abs=1e-9)  # without noise both are the same


def test_the_same_neighbour_is_counted_as_often_as_its_task_was_drawn():
    values = pd.DataFrame([["p", "p", "q"], ["p", "q", "q"], ["r", "r", "r"]])
    found = alike.same(values)(np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(found, [[1, 0.5, 0.25], [0.5, 1, 0.75], [0.25, 0.75, 1]])


def test_what_others_explain_is_partialled_out():
    rng = np.random.default_rng(3)
    given = pd.DataFrame(rng.normal(size=(200, 2)))
    values = pd.DataFrame(given[[0]].to_numpy() + 0.5 * rng.normal(size=(200, 2)))
    left = alike.without(values, given)
    oracle = partial_rank(*values.to_numpy().T, *given.to_numpy().T)
    assert np.corrcoef(left.to_numpy().T)[0, 1] == pytest.approx(oracle, abs=1e-12)
    assert abs(oracle) < 0.2 < spearmanr(values[0], values[1])[0]


def test_one_kind_and_one_couple_stand_out_as_worked_by_hand():
    names = ["p", "q", "r", "s"]
    means = pd.DataFrame(0.5, names, names)
    means.loc["s"] = means["s"] = 0.2
    means.loc["p", "q"] = means.loc["q", "p"] = 0.8
    for name in names:
        means.loc[name, name] = 0.9
    assert alike.within(means) == pytest.approx(0.9)
    assert alike.between(means) == pytest.approx((0.8 + 0.5 * 2 + 0.2 * 3) / 6)
    assert alike.apart(means, "s") == pytest.approx((0.8 + 0.5 * 2) / 3 - 0.2)
    assert alike.couple(means, "p", "q") == pytest.approx(0.8 - (0.5 * 2 + 0.2 * 3) / 5)
    assert alike.couple(means, "p", "q", but="s") == pytest.approx(0.3)


def whose(up, down, draws=2):
    return alike.shares(up, down, FAMILY, draws)


def test_shares_of_variance_are_found_again_whatever_the_noise_of_pairs():
    asked = {"common": 4.0, "kind": 2.0, "seed": 1.0, "model": 3.0}
    for noise in (0.0, 2.0):
        found = np.mean(
            [whose(*planted(asked, noise, seed))["value"] for seed in range(12)], axis=0
        )
        np.testing.assert_allclose(found, [0.4, 0.2, 0.1, 0.3], atol=0.03)


def test_a_share_that_is_not_there_is_about_nothing():
    found = whose(*planted({"common": 1.0, "model": 1.0}, 0.5), draws=99)
    for part in ("kind", "seed"):
        assert found.loc[part, "value"] == pytest.approx(0, abs=0.05)
        assert found.loc[part, "low"] < 0 < found.loc[part, "high"]
    assert found["value"].sum() == pytest.approx(1)
    assert found.loc["common", "low"] < 0.5 < found.loc["common", "high"]


def test_the_figures_show_what_they_are_given():
    up, down = planted({"common": 1, "kind": 0.5, "model": 0.5})
    means = alike.Alike(up, alike.ranks(up), FAMILY, draws=2).mean
    table = kinds.load({"first": means, "second": means / 2})
    assert table.query("state == 'second' and one == 'x' and other == 'z'")["value"].item() == (
        means.loc["x", "z"] / 2
    )
    texts = {text.get_text() for ax in kinds.plot(table).axes for text in ax.texts}
    assert {f"{value:.2f}" for value in (*np.diag(means), *np.diag(means) / 2)} <= texts
    table = variance_shares.load({"only": whose(up, down)})
    bars = variance_shares.plot(table).axes[0].patches
    assert sum(bar.get_width() for bar in bars) == pytest.approx(1, abs=0.02)
    assert bars[1].get_width() == pytest.approx(table.query("part == 'kind'")["share"].item())
