"""The harness itself: turns, ratios, refusals and the report, on a tiny model in a few seconds.

No time is judged here. The peers are not part of the locked environment, so a plain padded loop
stands in for each of them, except where they are installed.
"""

from __future__ import annotations

import json
from statistics import median

import numpy as np
import pytest
import torch

from taskspace_utils import ftgd, scoring
from taskspace_utils.store import data_path

from . import __main__ as command
from . import material, measure, memory, peers, workers


@pytest.fixture(autouse=True)
def _quick_sweeping(monkeypatch):
    monkeypatch.setattr(measure.gc, "collect", lambda: 0)  # half a second each in a test session


class Padded:
    """Stands in for a scoring peer: padded batches through plain log-softmax."""

    def __init__(self, lm):
        self.lm = lm

    def __call__(self, sentences):
        ids, real = peers.padded(self.lm, sentences)
        with torch.no_grad():
            logits = self.lm.model(input_ids=ids, attention_mask=real).logits[:, :-1]
        each = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0] * real[:, 1:]
        return each.double().sum(1).numpy()


class OneByOne:
    """Stands in for TRAK: a backward pass a pair."""

    pairs_at_once = 1

    def __init__(self, lm):
        self.lm = lm

    def __call__(self, pairs):
        return material.gradient_one_by_one(self.lm, pairs).float()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return material.prepare(tmp_path_factory.mktemp("bench") / "model", quick=True)


# ----------------------------------------------------------------------------------------- the race


class Clock:
    """Time that only methods spend."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def method(self, name, seconds):
        seconds = iter(seconds)

        def run():
            self.order.append(name)
            self.now += next(seconds)
            return name

        return run


def raced(a, b, rates=(100.0, 100.0), **options):
    clock, rates = Clock(), iter(rates)
    methods = {"a": clock.method("a", a), "b": clock.method("b", b)}
    options = {"rounds": len(a), "warm": False} | options
    found = measure.race(methods, rate=lambda: next(rates), clock=lambda: clock.now, **options)
    return found, clock.order


def test_methods_take_turns_and_none_is_always_first():
    found, order = raced([1.0] * 4, [2.0] * 4)
    assert "".join(order) == "abbaabba"
    assert found.rounds == {"a": [1.0] * 4, "b": [2.0] * 4}
    assert found.results == {"a": "a", "b": "b"}


def test_a_ratio_is_taken_within_rounds():
    # the second round fell into a slow minute, which both had to bear
    found, _ = raced([1.0, 10.0, 1.0, 1.0, 1.0], [3.0, 40.0, 3.0, 3.0, 3.0])
    assert measure.ratio(found, "a", "b") == {"ratio": 3.0, "low": 3.0, "high": 4.0, "refused": ""}


@pytest.mark.parametrize("after", [94.0, 106.0])
def test_no_ratio_of_a_machine_that_changed(after):
    found, _ = raced([1.0] * 3, [2.0] * 3, rates=(100.0, after))
    value = measure.ratio(found, "a", "b")
    assert value["ratio"] is None
    assert "rate changed by" in value["refused"]
    row = measure.measure("speed", value, 1.9, 2.5)
    assert row["floor_met"] is None
    assert row["goal_met"] is None


def test_a_change_within_the_tolerance_is_no_drift():
    found, _ = raced([1.0] * 3, [2.0] * 3, rates=(100.0, 96.0))
    assert measure.ratio(found, "a", "b")["ratio"] == 2.0


def test_no_ratio_against_rounds_that_scatter():
    found, _ = raced([1.0] * 4, [2.0, 2.0, 3.0, 3.0])
    assert "scatter" in measure.ratio(found, "a", "b")["refused"]


def test_a_race_is_run_again_after_a_drift_and_only_then():
    found, order = raced([1.0] * 4, [2.0] * 4, (100.0, 50.0, 50.0, 50.0), rounds=2, attempts=3)
    assert found.attempts == 2
    assert len(order) == 8
    assert found.rounds["a"] == [1.0, 1.0]
    assert measure.ratio(found, "a", "b")["ratio"] == 2.0


def test_floors_and_goals_are_judged_on_their_side():
    more = measure.measure("speed", measure.plain(2.0), 1.9, 2.5)
    assert (more["floor_met"], more["goal_met"]) == (True, False)
    less = measure.measure("error", measure.plain(2e-5), 1e-5, None, at_least=False)
    assert (less["floor_met"], less["goal_met"]) == (False, None)


def test_scatter_is_the_interquartile_range_over_the_median():
    values = [1.0, 1.1, 1.3, 2.0, 4.0]
    low, high = np.percentile(values, [25, 75])
    assert measure.scatter(values) == pytest.approx((high - low) / median(values))


def test_the_rate_of_a_matrix_product_is_above_zero():
    assert measure.sgemm_rate(side=32, seconds=0.01) > 0


# ------------------------------------------------------------------------------- what is compared


def test_baselines_compute_what_we_compute(tiny):
    pairs = tiny.of(tiny.tasks[:1], 12)
    exact = material.gradient_one_by_one(material.doubled(tiny.lm), pairs)
    for found in (
        peers.two_padded_passes(tiny.lm, pairs),
        ftgd.loss_gradient(tiny.lm, pairs)[0],
    ):
        assert float((found.double() - exact).norm() / exact.norm()) < 1e-5
    sentences = list(pairs["good"])
    with torch.no_grad():
        one = material.one_by_one(material.doubled(tiny.lm), sentences).numpy()
    np.testing.assert_allclose(scoring.log_probabilities(tiny.lm, sentences), one, atol=1e-4)


def test_the_plain_row_takes_the_steps_it_is_told(tiny):
    pairs = tiny.of(tiny.tasks[:2], 12)
    config = ftgd.Config(k=1.0)
    train = pairs[(pairs["task"] == tiny.tasks[0]) & (pairs["split"] == "train")]
    gradient = ftgd.loss_gradient(tiny.lm, train)[0]
    expected = ftgd.flat_weights(tiny.lm.model) - config.delta * gradient / gradient.square().sum()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "Minicons", Padded)
        margins, tuned = peers.reload_tune_score(tiny.folder, pairs, tiny.tasks[0], config, 1)
    torch.testing.assert_close(ftgd.flat_weights(tuned.model), expected, rtol=0, atol=1e-6)
    held = pairs[pairs["split"] == "eval"]
    np.testing.assert_allclose(margins, scoring.margins(tuned, held), atol=1e-3)


# --------------------------------------------------------------------------------------- the report


def check(report: dict) -> None:
    """The shape that the page of the book relies on."""
    assert report["format"] == 1
    assert set(report) == {"format", "quick", "machine", "versions", "data", "model", "parts"}
    assert {"processor", "cores", "memory_gib", "system", "python"} == set(report["machine"])
    assert set(report["versions"]) == set(command.LIBRARIES)
    for name, part in report["parts"].items():
        assert name in command.PARTS
        assert {"about", "measures", "agreement", "made", "wall_seconds"} <= set(part)
        for row in part["measures"]:
            assert set(row) == {
                "name", "unit", "at_least", "floor", "goal", "ratio", "low", "high", "refused",
                "limit", "why", "floor_met", "goal_met",
            }  # fmt: skip
            assert (row["ratio"] is None) == bool(row["refused"])
        if name not in ("memory", "workers"):
            assert part["sgemm_before"] > 0
            assert part["sgemm_after"] > 0
            assert len({len(seconds) for seconds in part["rounds"].values()}) == 1


def test_a_quick_run_writes_a_whole_report(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "Minicons", Padded)
    monkeypatch.setattr(peers, "Harness", Padded)
    monkeypatch.setattr(peers, "Trak", OneByOne)
    monkeypatch.setattr(measure, "DRIFT", 9.0)
    monkeypatch.setattr(measure, "SCATTER", 9.0)
    out = tmp_path / "report.json"
    report = command.run(["scoring", "gradients"], out, quick=True, attempts=1)
    report = command.run(["spaces", "transfer"], out, quick=True, attempts=1)
    assert json.loads(out.read_text()) == json.loads(json.dumps(report, default=float))
    check(report)
    assert set(report["parts"]) == {"scoring", "gradients", "spaces", "transfer"}
    agreement = {name: part["agreement"] for name, part in report["parts"].items()}
    assert agreement["scoring"]["flips"] == {"minicons": 0, "lm-eval": 0, "ours": 0}
    assert max(agreement["scoring"]["largest_error_nats"].values()) < 1e-4
    assert max(agreement["gradients"]["largest_relative_error"].values()) < 1e-5
    assert agreement["spaces"]["largest_error"]["cosine"] < 1e-5
    assert agreement["transfer"]["tuned_margins_against_minicons_nats"] < 1e-3
    assert "scoring, against minicons" in command.summary(report)
    rows = {row["name"]: row for part in report["parts"].values() for row in part["measures"]}
    assert rows["weights that undo left changed"]["ratio"] == 0
    # what another machine, or another version, measured is not mixed in
    monkeypatch.setattr(command, "machine", lambda: report["machine"] | {"processor": "other"})
    assert set(command.run([], out, quick=True, attempts=1)["parts"]) == set()


def test_the_shipped_report_has_the_shape_of_one():
    report = json.loads(data_path("reference", "bench", "report.json").read_text("utf-8"))
    check(report)
    assert not report["quick"]
    assert set(report["parts"]) == set(command.PARTS)
    assert "/" not in report["model"]["name"]


def test_real_peers_give_our_numbers(tiny):
    if missing := [name for name, version in peers.versions().items() if not version]:
        pytest.skip(f"not installed: {', '.join(missing)} (`make bench` does)")
    pairs = tiny.of(tiny.tasks[:1], 12)
    sentences = [*pairs["good"], *pairs["bad"]]
    ours = scoring.log_probabilities(tiny.lm, sentences)
    for peer in (peers.Minicons(tiny.lm), peers.Harness(tiny.lm)):
        np.testing.assert_allclose(peer(sentences), ours, atol=1e-4)
    gradient = ftgd.loss_gradient(tiny.lm, pairs)[0]
    assert float((peers.Trak(tiny.lm)(pairs) - gradient).norm() / gradient.norm()) < 1e-5


def test_memory_is_measured_in_a_process_of_its_own(tiny, tmp_path):
    found = memory._peak(tiny, tmp_path, "tiny", 1, 4)
    assert found["failed"] == ""
    assert found["model_bytes"] == 4 * material.parameters(tiny.lm)
    assert found["peak"] > found["model_bytes"]


def test_a_size_that_fails_says_why(tiny, tmp_path):
    found = memory._peak(tiny, tmp_path, "no such scale", 1, 4)
    assert found["peak"] is None
    assert "no such scale" in found["failed"]


def test_two_workers_prove_nothing_on_a_busy_machine(tiny, monkeypatch):
    class Done:
        @staticmethod
        def table(name):
            return np.array([name]).view(type("Table", (np.ndarray,), {"equals": np.array_equal}))

    monkeypatch.setattr(workers.probes, "probe", lambda *_, **__: Done)
    for others, refused in ((0.0, False), (0.5, True)):
        monkeypatch.setattr(workers, "busy", lambda others=others: others)
        monkeypatch.setattr(workers, "scatter", lambda _: 0.0)
        monkeypatch.setattr(workers.os, "cpu_count", lambda: 2)
        (row,) = workers.workers_part(tiny, quick=True)["measures"]
        assert (row["ratio"] is None) is refused
