"""The ladder: what is written down on the way up, and rungs compared at an equal gain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from taskspace_utils import cells, equal_gain, ftgd, ladder, probing, profiles, runs, store
from taskspace_utils.figures import gain_harm, rungs
from taskspace_utils.store import InputError
from taskspace_utils.tables import TABLES, write_run

from . import toys

LINES = [" ".join(words) for words in (("the", "cat", "sleeps", "."), ("a", "dog", "sees", "."))]
TEXTS = {"one": tuple(LINES * 300), "two": tuple(LINES[::-1] * 300)}


@pytest.fixture(scope="module")
def pairs():
    return toys.english(8)


def climb(rung: str, pairs, target=2.0, source="agree", lm=None, monkey=None):
    return ladder.climb(lm or toys.gpt2(), pairs, source, rung, TEXTS, target)


def test_a_step_written_down_is_a_tuning_that_ends_there(pairs):
    """The row of a step equals an independent tuning of so many steps, measured by probing."""
    table = climb("differential", pairs)
    settings = ladder.RUNGS["differential"].settings
    row = table[table["tuning_step"] > 0].iloc[0]
    config = ftgd.Config(**settings, target=2.0, max_steps=int(row["tuning_step"]),
                         max_displacement=ladder.REACH)  # fmt: skip
    lm = toys.gpt2()
    texts = probing.neutral_texts(lm, TEXTS)
    moved, summary, harm = probing.transfer_row(lm, pairs, "agree", config, texts)
    assert row["gain_train"] == pytest.approx(summary["own_gain"], abs=1e-4)
    own = moved[moved["target"] == "agree"].iloc[0]
    assert row["gain"] == pytest.approx(own["margin_after"] - own["margin_before"], abs=1e-4)
    assert row["accuracy"] == pytest.approx(own["accuracy_after"])
    others = moved[moved["target"] != "agree"]
    change = (others["margin_after"] - others["margin_before"]).abs().mean()
    assert row["spread"] == pytest.approx(change, abs=1e-3)
    for text in ("one", "two"):
        found = table[(table["tuning_step"] == row["tuning_step"]) & (table["text"] == text)]
        expected = harm.set_index("text").loc[text]
        assert found["harm_kl"].item() == pytest.approx(expected["harm_kl"], rel=1e-3, abs=1e-6)
        assert found["harm_loss"].item() == pytest.approx(expected["harm_loss"], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("rung", ladder.RUNGS)
def test_every_rung_leaves_the_model_as_it_was(rung, pairs):
    lm = toys.gpt2()
    before = toys.state(lm)
    table = ladder.climb(lm, pairs, "plural", rung, TEXTS, 1.0)
    assert toys.state(lm) == before
    first = table[table["tuning_step"] == 0]
    assert sorted(first["text"]) == ["one", "two"]
    assert first[["gain_train", "gain", "spread", "harm_loss"]].abs().max().max() < 1e-5
    assert table["gain_train"].is_monotonic_increasing
    assert table["tuning_step"].is_monotonic_increasing
    size = round(ladder.RUNGS[rung].settings["k"] * len(ftgd.flat_weights(lm.model)))
    if size < ladder.MIN_MASK:  # said, not tuned
        assert f"a mask of {size} parameters is too small" in table["flag"].iloc[0]
        assert len(table) == 2


def test_the_penalty_is_a_gradient_and_sees_other_lines(pairs, monkeypatch):
    """λ·KL(before ‖ now): zero at the start, and a finite difference elsewhere."""
    lm = toys.gpt2(double=True)
    gradient = ladder._penalty(lm, TEXTS, 30.0)
    assert float(gradient(lm).abs().max()) < 1e-4
    start = ftgd.flat_weights(lm.model)
    text = probing.neutral_text(lm, TEXTS["one"][::-1], ladder.PENALTY_TOKENS)
    base = [p for p, _ in ladder._predictions(lm, text)]
    direction = torch.randn(len(start), generator=torch.Generator().manual_seed(1)).double()
    direction /= direction.norm()

    def cost(distance: float) -> float:
        ftgd.set_weights(lm.model, start + distance * direction)
        return 30.0 * ladder._harm(lm, text, base)[0]

    slope = (cost(0.51) - cost(0.49)) / 0.02
    ftgd.set_weights(lm.model, start + 0.5 * direction)
    assert float(gradient(lm).double() @ direction) == pytest.approx(slope, rel=1e-2)
    with pytest.raises(InputError, match="too few lines"):
        ladder._penalty(lm, {"one": TEXTS["one"][:5]}, 1.0)


def test_shams_and_the_own_phenomenon_are_no_part_of_the_spread(pairs):
    lm = toys.gpt2()
    alone = ladder._Scales(lm, pairs[pairs["task"] != "plural"], "agree", TEXTS)
    sham = pairs["phenomenon"].where(pairs["task"] != "plural", ladder.SHAM)
    other = ladder._Scales(lm, pairs.assign(phenomenon=sham), "agree", TEXTS)
    assert set(other.held["task"]) == set(alone.held["task"]) == {"agree", "reflexive"}


def test_what_cannot_be_judged_is_flagged(pairs):
    blind = pairs[~((pairs["task"] == "agree") & (pairs["split"] == "eval"))]
    table = climb("differential", blind, target=0.5)
    assert table["gain"].isna().all()
    assert set(table["flag"]) == {"no eval pairs"}
    assert table["spread"].iloc[-1] > 0
    same = pairs.assign(bad=pairs["good"].where(pairs["task"] == "agree", pairs["bad"]))
    table = climb("differential", same)
    assert (table["flag"].str.contains("zero gradient")).all()
    with pytest.raises(InputError, match="no train pairs"):
        climb("differential", pairs[pairs["split"] == "eval"])


# --------------------------------------------------------------------------- rungs at an equal gain


def made(**ends: dict[str, float]) -> pd.DataFrame:
    """Trajectories that gain a nat a step, with KL = cost·gain² and loss = cost·gain."""
    rows = []
    for rung, of_task in ends.items():
        for task, (cost, steps) in of_task.items():
            for step in range(steps + 1):
                keys = ("m", "S", 0, 1, rung.replace("_", "-"), task, step, "t")
                costs = (cost * step, cost * step**2, cost * step)
                rows.append((*keys, step, step, 0.5 + step / 10, *costs, ""))
    return pd.DataFrame(rows, columns=[*TABLES["ladder"][0], *TABLES["ladder"][1]])


def test_values_at_a_gain_lie_between_two_steps():
    table = made(good={"a": (2.0, 4)})
    found = equal_gain.at_gain(table, 2.5).iloc[0]
    assert found["reached"]
    assert found["harm_kl"] == pytest.approx(2.0 * 2.5**2)  # by the root, so exactly
    assert found["harm_loss"] == pytest.approx(5.0)
    assert equal_gain.at_gain(table, 0.15, "accuracy")["gain"].item() == pytest.approx(1.5)
    missed = equal_gain.at_gain(table, 4.5).iloc[0]
    assert not missed["reached"]
    assert np.isnan(missed["harm_kl"])


def test_only_tasks_count_that_got_there_on_every_rung():
    table = made(
        good={"a": (8.0, 4), "b": (8.0, 4), "c": (8.0, 1), "d": (8.0, 1)},
        critical={"a": (2.0, 1), "b": (2.0, 1), "c": (2.0, 1), "d": (2.0, 4)},
        differential={"a": (1.0, 4), "b": (2.0, 4), "c": (1.0, 4), "d": (1.0, 4)},
    )
    rows, counts = equal_gain.comparable(equal_gain.at_gain(table, 3))
    assert counts == {"good": 2, "critical": 1, "differential": 4}
    assert set(rows["rung"]) == {"good", "differential"}  # fewer than half: left out, and counted
    assert set(rows["source"]) == {"a", "b"}
    beside = equal_gain.intervals(rows, "harm_kl")
    assert list(beside.index) == ["good", "differential"]
    assert beside["n"].tolist() == [2, 2]
    assert beside["mean"].tolist() == pytest.approx([72, 13.5])
    assert beside["versus"].tolist() == pytest.approx([32**0.5, 1])  # of 8 and 4
    assert beside.loc["good", "versus_low"] == pytest.approx(4)
    assert beside.loc["good", "versus_high"] == pytest.approx(8)
    none, counts = equal_gain.comparable(equal_gain.at_gain(table, 30))
    assert none.empty
    assert equal_gain.intervals(none, "harm_kl").empty
    assert set(counts.values()) == {0}


def test_differences_take_the_place_of_ratios_where_a_value_is_not_positive():
    table = made(good={"a": (3.0, 2), "b": (1.0, 2)}, differential={"a": (-1.0, 2), "b": (1.0, 2)})
    rows, _ = equal_gain.comparable(equal_gain.at_gain(table, 1))
    beside = equal_gain.intervals(rows, "harm_loss")
    assert set(beside["kind"]) == {"difference"}
    assert beside["versus"].tolist() == pytest.approx([2, 0])


def test_the_interval_covers_a_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        low, high = equal_gain.interval(rng.normal(size=30), draws=400)
        inside += low < 0 < high
    assert inside / 200 == pytest.approx(0.93, abs=0.05)


# ------------------------------------------------------------------------- cells, profile, figures


def test_the_ladders_code_is_in_the_key_of_its_cells_alone(monkeypatch):
    now = {kind: cells.present_code(kind) for kind in ("accuracy", "ladder")}
    real = store.code_version
    changed = {"ladder": "0" * 12}
    monkeypatch.setattr(store, "code_version", lambda *rooms: changed.get(rooms[0]) or real(*rooms))
    assert cells.present_code("accuracy") == now["accuracy"]
    assert cells.present_code("ladder") != now["ladder"]
    assert now["ladder"].keys() - now["accuracy"].keys() == {"ladder"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": "L"}, "scale 'L' is none of"),
        ({"step": 7}, "in neither"),
        ({"tasks": []}, "a list of names"),
        ({"tasks": ["no_task"]}, "no task no_task"),
        ({"target": "far"}, "in nats"),
        ({"more": 1}, "must have scale"),
    ],
)
def test_a_wrong_ladder_is_refused(change, message):
    from dataclasses import replace

    profile = runs.load_profile("smoke")
    with pytest.raises(InputError, match=message):
        profiles._check_profile(replace(profile, ladder=profile.ladder | change))


def test_figures_draw_every_rung(tmp_path):
    table = made(good={"a": (8.0, 4), "b": (9.0, 4)}, differential_k0={"a": (1.0, 4)})
    table = table.assign(rung=table["rung"].replace("differential-k0", "differential"))
    run = write_run(tmp_path / "run", {"ladder": table}, {})
    drawn = gain_harm.plot(gain_harm.load(run))
    assert len(drawn.legends[0].get_texts()) == 2
    shown = rungs.load(run, 1.0)
    assert set(shown["source"]) == {"a"}
    labels = [t.get_text() for t in rungs.plot(shown).axes[0].get_yticklabels()]
    assert labels == [ladder.RUNGS[name].label for name in ("good", "differential")]
    assert rungs.plot(rungs.load(run, 50.0)).axes  # nothing to compare is no crash


def test_every_rung_uses_a_loss_that_exists():
    for rung in ladder.RUNGS.values():
        ftgd.Config(**rung.settings)
