"""Every task that a run could not measure is named, with its reason."""

from __future__ import annotations

import numpy as np
import pandas as pd

from taskspace_utils.flags import counted, flagged
from taskspace_utils.store import write_atomic
from taskspace_utils.tables import Run, write_table

MODEL = {"scale": "S", "step": 10}


def run_of(folder) -> Run:
    write_atomic(folder / "manifest.json", '{"tasks": ["good", "lone", "nan", "slow", "solved"]}')
    names = ["good", "nan", "slow", "solved"]  # lone has too few pairs for anything
    facts = pd.DataFrame({"task": names, "flag": ["", "zero gradient", "unreliable gradient", ""]})
    write_table(folder / "tasks.csv", facts.assign(**MODEL), ["task"])
    reason = ["", "", "no more steps", ""]
    summary = pd.DataFrame({"source": names, "reached": [1, 1, 0, 1], "flag": reason})
    write_table(folder / "tuning.csv", summary.assign(**MODEL, tuning="x"), ["source"])
    rows = [
        {"source": s, "target": t, "margin_after": np.nan if s == "nan" else 1.0,
         "flag": "not finite after tuning" if s == "nan" else
                 "solved before tuning" if t == "solved" else ""}
        for s in names for t in names
    ]  # fmt: skip
    cells = pd.DataFrame(rows).assign(**MODEL, tuning="x")
    write_table(folder / "transfer.csv", cells, ["source", "target"])
    return Run(folder)


def test_flags_are_named_for_sources_targets_and_gradients(tmp_path):
    found = flagged(run_of(tmp_path), "x", **MODEL)
    assert set(map(tuple, found.to_numpy())) == {
        ("gradient", "lone", "missing: too few pairs for two halves"),
        ("gradient", "nan", "zero gradient"),
        ("gradient", "slow", "unreliable gradient"),
        ("source", "lone", "missing: no train pairs"),
        ("source", "nan", "not finite after tuning"),
        ("source", "slow", "no more steps"),
        ("target", "lone", "missing: no eval pairs"),
        ("target", "solved", "solved before tuning"),
    }
    assert set(flagged(run_of(tmp_path), **MODEL)["role"]) == {"gradient"}


def test_flags_are_counted_and_a_few_tasks_named(tmp_path):
    text = counted(flagged(run_of(tmp_path), "x", **MODEL), 5)
    assert "- *zero gradient*: 1 of 5 tasks (nan)" in text
    assert "- as a target, *solved before tuning*: 1 of 5 tasks (solved)" in text
    assert text.count("\n") == 7
    many = pd.DataFrame({"role": "source", "task": [f"t_{i}" for i in range(5)], "reason": "late"})
    assert counted(many, 9, names=3) == (
        "- as a source, *late*: 5 of 9 tasks (t 0, t 1, t 2, and 2 more)"
    )
    assert counted(many, 9, names=5).endswith("(t 0, t 1, t 2, t 3, t 4)")
    assert counted(pd.DataFrame(columns=["role", "task", "reason"]), 5) == (
        "None of 5 tasks carries a flag."
    )
