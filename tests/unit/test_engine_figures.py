"""The figures of the chapter on speed and memory: what a report says is what is drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from taskspace_utils import store
from taskspace_utils.figures import memory_growth, speed_ratios


def row(name, ratio, goal_met=None, floor_met=None, unit="times", refused=""):
    return {
        "name": name, "unit": unit, "at_least": True, "floor": 2.0, "goal": 3.0, "ratio": ratio,
        "low": ratio, "high": ratio, "refused": refused, "limit": 9.0, "why": "", "extra": 1,
        "floor_met": floor_met, "goal_met": goal_met,
    }  # fmt: skip


def size(tasks, pairs, parameters, peak, failed=""):
    return {
        "scale": str(parameters), "tasks": tasks, "pairs": pairs, "parameters": parameters,
        "model_bytes": parameters and 4 * parameters, "peak": peak, "seconds": 1.0,
        "failed": failed,
    }  # fmt: skip


SPEED = {
    "parts": {
        "scoring": {
            "measures": [
                row("a", 4.0, True, True),
                row("b", 2.5, False, True),
                row("c", 1.5, False, False),
                row("d", None, refused="the machine drifted"),
                row("e", 0.9, False, False, unit="share"),
            ]
        }
    }
}
MIB = 2**20
MEMORY = {
    "parts": {
        "memory": {
            "measures": [],
            "sizes": [
                size(4, 8, MIB, 20 * MIB),
                size(16, 8, MIB, 20 * MIB),
                size(4, 32, MIB, 24 * MIB),
                size(4, 8, 8 * MIB, 64 * MIB),
                size(4, 8, None, None, "did not fit"),
            ],
        }
    }
}


def test_verdicts_say_which_of_floor_and_goal_was_reached():
    table = speed_ratios.load({"shipped": SPEED}).set_index("name")
    expected = ["goal reached", "floor reached", "floor missed", "not judged", "floor missed"]
    assert table["verdict"].tolist() == expected
    assert np.isnan(table.loc["d", "reached"])


def test_what_was_refused_is_not_drawn_and_shares_are_no_ratios():
    table = speed_ratios.load({"shipped": SPEED, "yours": SPEED})
    (ax,) = speed_ratios.plot(table).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["d", "c", "b", "a"]
    reached = [s for s in ax.collections if str(s.get_label()).startswith("reached")]
    for scatter, shift in zip(reached, (0.0, -0.25), strict=True):
        drawn = {tuple(p) for p in scatter.get_offsets().filled(np.nan) if not np.isnan(p[0])}
        assert drawn == {(4.0, 3 + shift), (2.5, 2 + shift), (1.5, 1 + shift)}


def test_memory_is_told_in_multiples_of_the_model():
    table = memory_growth.load({"shipped": MEMORY})
    assert table["times"].tolist()[:4] == [5.0, 5.0, 6.0, 2.0]
    assert table["peak"].tolist()[:4] == [20.0, 20.0, 24.0, 64.0]
    tasks, pairs, parameters = memory_growth.plot(table).axes
    assert [line.get_xdata().tolist() for line in tasks.lines[:1]] == [[4, 16]]
    assert [line.get_xdata().tolist() for line in pairs.lines[:1]] == [[8, 32]]
    assert parameters.lines[0].get_ydata().tolist() == [20.0, 64.0]


def test_a_report_without_memory_leaves_the_shipped_one():
    table = memory_growth.load({"shipped": MEMORY, "yours": SPEED})
    assert set(table["source"]) == {"shipped"}
    with pytest.raises(ValueError, match="memory"):
        memory_growth.load({"yours": SPEED})


def test_the_readers_own_report_stands_beside_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.setattr(speed_ratios, "project_root", lambda: tmp_path)
    assert set(speed_ratios.reports()) == {"shipped"}
    store.write_atomic(tmp_path / "_build" / "bench" / "report.json", json.dumps(SPEED))
    assert speed_ratios.reports()["yours"] == SPEED
