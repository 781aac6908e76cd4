"""What figures of claims draw, seed by seed, is what the claims' estimands are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from taskspace_utils import estimands, measured
from taskspace_utils.figures import isolation, scale_similarity, stability, step_similarity
from taskspace_utils.measured import Measured
from taskspace_utils.tables import Run

from .test_scale_figures import planted

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return planted(tmp_path_factory.mktemp("both") / "run", SEEDS)


@pytest.fixture(scope="module")
def of(run) -> Measured:
    return Measured(run, SEEDS)


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr(measured, "DRAWS", 9)


def same(drawn: pd.Series, estimate) -> None:
    assert drawn.sort_index().tolist() == pytest.approx(estimate.points.sort_index().tolist())


def test_change_in_training(run, of):
    table = step_similarity.load(run).sort_values("step")
    ends = table.groupby(["measure", "group", "scale", "seed"])["value"]
    change = (ends.last() - ends.first())["cosine_corrected"]
    apart = (change["within"] - change["between"]).groupby("seed").mean()
    same(apart, estimands.change_in_training(of, "cosine_corrected", "within - between"))
    spread = np.log(ends.last() / ends.first())["participation", "each task"]
    same(spread.groupby("seed").mean(), estimands.participation_in_training(of))


def test_slopes_in_scale(run, of):
    table = scale_similarity.load(run)

    def per_doubling(line):
        return np.polyfit(np.log2(line["parameters"]), line["value"], 1)[0]

    keys = ["measure", "group", "at", "seed"]
    slopes = table.groupby(keys)[["parameters", "value"]].apply(per_doubling)
    own = slopes["cosine_corrected", "within"]
    for at, called in (("equal loss", "equal loss"), ("last step", "equal step")):
        same(own[at], estimands.slope_in_scale(of, "cosine_corrected", "within", called))


def test_isolation(run, of):
    table = isolation.load(run).groupby(["measure", "seed"])["value"].mean()
    rungs = {"rung": "differential-k0.01", "plain": "good"}
    same(table["accuracy"], estimands.own_accuracy(of, **rungs, at="end"))
    same(table["harm"], estimands.log_harm_ratio(of, **rungs, rise=0.1, text="held-out"))


def test_stability(run, of):
    table = stability.load(run).query("kind == 'checkpoints'")
    same(table.groupby("seed")["value"].mean(), estimands.stability(of, "cosine_corrected"))
