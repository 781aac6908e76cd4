"""Chapter 15's figures: what their tables hold, worked by hand, and that they are drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from taskspace_utils.figures import rho_by_step, straying, trust, walked

WALKS = pd.DataFrame(
    [
        ("S", 1, 100, 1.0, "a", 0.1, "a", 9.0, 9.0, 9.0, 9.0, 0.001, 1.0),
        ("S", 1, 100, 1.0, "a", 0.1, "b", 3.0, 2.0, 2.5, 3.0, 0.001, 1.0),
        ("S", 1, 100, 1.0, "a", 0.1, "c", 4.0, 4.0, 4.0, 5.0, 0.001, 1.0),
        ("S", 1, 100, 1.0, "a", 3.0, "a", 9.0, 9.0, 9.0, 9.0, 0.01, 0.5),
        ("S", 1, 100, 1.0, "a", 3.0, "b", 6.0, -6.0, 0.0, 6.0, 0.01, 0.5),
        ("S", 1, 100, 1.0, "a", 3.0, "c", 8.0, -8.0, 0.0, 8.0, 0.01, 0.5),
    ],
    columns=["scale", "seed", "step", "k", "source", "asked", "target", "real", "first",
             "first_train", "on_way", "displacement", "own_turn"],
)  # fmt: skip


def test_errors_by_gain_leave_out_the_source_itself():
    found = walked.load(WALKS).set_index(["by", "gain"])
    assert found.loc[("first", 0.1), "error"] == pytest.approx(1 / 5)  # √(1² + 0²) / √(3² + 4²)
    assert found.loc[("first", 3.0), "error"] == pytest.approx(2.0)
    assert found.loc[("on_way", 3.0), "error"] == 0
    assert found.loc[("first", 3.0), "rho"] == pytest.approx(-1)
    twice = walked.load(pd.concat([WALKS, WALKS.assign(seed=2, first=WALKS["real"])]))
    mean = twice.set_index(["by", "gain"]).loc[("first", 0.1), "error"]
    assert mean == pytest.approx(1 / 10)  # of two seeds


def test_errors_by_lesson():
    found = straying.load(WALKS).set_index("asked")
    assert found.loc[0.1, "error"] == pytest.approx(0.5 / 5)
    assert found.loc[3.0, "error"] == pytest.approx(1.0)
    assert found["displacement"].tolist() == [0.001, 0.01]


def test_seeds_that_chose_a_rule_are_told_from_the_others():
    rows = [("L", 1), ("S", 1), ("S", 2), ("S", 3), ("S", 3)]
    table = pd.DataFrame(rows, columns=["scale", "seed"])
    table = table.assign(step=8, k=1.0, source="a", expected=0.01, rho=[0.4, 0.5, 0.6, 0.7, np.nan])
    chosen_on = (table["scale"] == "S") & (table["seed"] < 3)
    found = trust.load(table, chosen_on, 0.02)
    assert found["used"].tolist() == ["held out", *["chosen on"] * 2, "held out"]  # no ρ, no row
    assert set(found["limit"]) == {0.02}


def test_figures_are_drawn_from_their_tables():
    rows = [("S", step, k, 0.7, 0.75, 0.8) for step in (0, 100, 400) for k in (1.0, 0.01)]
    shipped = pd.DataFrame(rows, columns=["scale", "step", "k", "value", "low", "high"])
    live = shipped[shipped["step"] == 400].assign(value=0.9)
    table = rho_by_step.load(shipped, live, 0.8)
    assert (table["run"] == "live").sum() == 2
    figure = rho_by_step.plot(table)  # a mean outside its interval, too
    assert [ax.get_title() for ax in figure.axes] == ["k = 1", "k = 0.01"]
    rng = np.random.default_rng(0)
    sources = pd.DataFrame(rng.random((27, 2)), columns=["expected", "rho"])
    sources = sources.assign(scale="S", seed=[1, 2, 3] * 9, step=8, k=1.0, source="a")
    for one in (figure, trust.plot(trust.load(sources, sources["seed"] < 3, 0.5)),
                walked.plot(walked.load(WALKS)), straying.plot(straying.load(WALKS))):  # fmt: skip
        one.canvas.draw()
        assert all(ax.get_xlabel() for ax in one.axes)
        plt.close(one)
