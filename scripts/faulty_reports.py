"""Fill the course's faulty reports and their key with numbers from shipped tables.

    python scripts/faulty_reports.py

Reads `data/course/templates/`, where `<<name:.2f>>` stands for a number, and
`data/reference/blimp-8M/`; writes `book/course/report_*.md` and `data/course/instructor/key.md`. No
number of a report is invented: its faults are in what was computed and in what is said of it, as
faults mostly are. About a minute.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import pearsonr, spearmanr

from taskspace_utils import families, reference_run, spaces, store
from taskspace_utils.gradients import predicted_transfer
from taskspace_utils.hypotheses import lexical_space, same_label
from taskspace_utils.tables import read_table

ROOT = store.project_root()
TEMPLATES = ROOT / "data/course/templates"
STEPS = (0, 400, 1600)
B = 999  # permutations


def targets() -> dict[Path, Path]:
    """Each template and the file that is made of it."""
    made = {path: ROOT / "book" / "course" / path.name for path in TEMPLATES.glob("report_*.md")}
    keys = ("key.md", "sheet_a.md")
    return made | {TEMPLATES / name: ROOT / "data/course/instructor" / name for name in keys}


def filled(text: str, numbers: dict) -> str:
    """A template with its numbers; KeyError where one is not computed."""

    def put(match: re.Match) -> str:
        value = numbers[match[1]]
        whole = isinstance(value, str)  # a table of its own
        return value if whole else format(value, match[2] or "").replace("-", "−")

    return re.sub(r"<<(\w+)(?::([^>]*))?>>", put, text)


def upper(space: pd.DataFrame) -> np.ndarray:
    """The cells above the diagonal, each pair of tasks once."""
    return space.to_numpy()[np.triu_indices(len(space), 1)]


class Tables:
    """The shipped run, as spaces over its 67 tasks."""

    def __init__(self) -> None:
        run = reference_run("blimp-8M")
        self.labels = read_table(store.data_path("hypotheses", "blimp.csv"))
        by_task = self.labels.set_index("task")
        self.phenomenon, self.family = by_task["phenomenon"], by_task["family"]
        self.facts = {s: t.set_index("task") for s, t in run.table("tasks").groupby("step")}
        self.gradient = dict(list(run.table("gradient").groupby("step")))
        self.space = {s: self.measured(s, "cosine") for s in STEPS}
        self.corrected = {s: self.measured(s, "cosine_corrected") for s in STEPS}
        self.words = lexical_space(run.table("lexical"))
        self.names = list(self.space[0].index)
        self.transfer = spaces.transfer(run.table("transfer")).loc[self.names, self.names]
        self.accuracy = run.table("accuracy").query("step == 1600").set_index("task")["accuracy"]

    def measured(self, step: int, column: str) -> pd.DataFrame:
        return spaces.symmetric(spaces.square(self.gradient[step], column))

    def kin(self, space: pd.DataFrame) -> pd.DataFrame:
        return families.within_between(space, self.phenomenon, self.family, B)


def keep(numbers: dict, name: str, row: pd.Series) -> None:
    """A value and the ends of its interval, as three numbers."""
    numbers |= {name: row["value"], f"{name}_low": row["low"], f"{name}_high": row["high"]}


def training(t: Tables) -> dict:
    """Report 1: raw cosines followed through training; the key's are corrected."""
    found: dict = {}
    for step in STEPS:
        kin = t.kin(t.space[step])
        for row in ("within", "between", "difference", "beyond"):
            keep(found, f"{row}_{step}", kin.loc[row])
        found[f"p_{step}"] = kin.loc["difference", "p"]
        reliability = t.facts[step]["reliability"]
        found[f"reliability_{step}"] = reliability.median()
        found[f"unreliable_{step}"] = int((reliability < 0.5).sum())
    found["times"] = found["within_1600"] / found["within_0"]
    for name, steps in {"both": STEPS[1:], "all": STEPS}.items():
        sure = [n for n in t.names if all(t.facts[s].loc[n, "reliability"] >= 0.5 for s in steps)]
        found[f"sure_{name}"] = len(sure)
        for step in steps:
            kin = t.kin(t.corrected[step].loc[sure, sure])
            keep(found, f"corrected_{name}_{step}", kin.loc["within"])
    return found


def opposition(t: Tables) -> dict:
    """Report 2: the most negative cells, picked after looking; the key's are words and step 0."""
    gapped = ["wh_vs_that_with_gap", "wh_vs_that_with_gap_long_distance"]
    others = [n for n in t.names if t.phenomenon[n].startswith("filler") and n not in gapped]
    block = {
        "now": t.space[1600].loc[others, gapped],
        "start": t.space[0].loc[others, gapped],
        "words": t.words.loc[others, gapped],
    }
    found: dict = {}
    for name, cells in block.items():
        values = cells.to_numpy()
        found |= {f"{name}_mean": values.mean(), f"{name}_min": values.min()}
        found[f"{name}_max"] = values.max()
    table = families.cell_table({"now": t.space[1600], "words": t.words})
    lowest = table.nsmallest(values.size, "now")
    ours = [{a, b} & {*gapped} and {a, b} & {*others} for a, b in zip(lowest["a"], lowest["b"])]
    filler = [n for n in t.names if n in gapped or n in others]
    inside = [upper(s.loc[filler, filler]) for s in (t.space[1600], t.words)]
    found |= {
        "opposed": values.size,
        "cells": len(table),
        "lowest": sum(map(bool, ours)),
        "pair_now": t.space[1600].loc["wh_vs_that_no_gap", gapped[0]],
        "pair_long": t.space[1600].loc["wh_vs_that_no_gap_long_distance", gapped[1]],
        "pair_start": t.space[0].loc["wh_vs_that_no_gap", gapped[0]],
        "pair_words": t.words.loc["wh_vs_that_no_gap", gapped[0]],
        "inside_r": pearsonr(*inside).statistic,
        "filler": len(filler),
        "filler_reliability": t.facts[1600].loc[filler, "reliability"].min(),
        "bag_least": t.facts[1600].loc[filler, "bag_accuracy"].min(),
    }
    for n in ("wh_vs_that_no_gap", "wh_vs_that_no_gap_long_distance", *gapped):
        found[f"acc_{n}"] = t.accuracy[n]
    raised = t.transfer.loc[others, gapped].to_numpy()
    return found | {"transfer_lost": -raised.mean(), "transfer_negative": int((raised < 0).sum())}


def witnesses(t: Tables) -> dict:
    """Report 3: two spaces of one model as two witnesses, cells as independent."""
    theory = same_label(t.labels, "phenomenon").loc[t.names, t.names]
    gradient, transfer = t.space[1600], spaces.symmetric(t.transfer)
    views = {"gradient": gradient.abs(), "transfer": transfer.abs()}
    found: dict = {"agreement": spearmanr(upper(gradient), upper(transfer)).statistic}
    rng = np.random.default_rng(0)
    cells = upper(theory)
    for name, view in views.items():
        r = pearsonr(upper(view), cells)
        mixed = [pearsonr(upper(view), rng.permutation(cells)).statistic for _ in range(B)]
        found |= {f"{name}_r": r.statistic, f"{name}_p": r.pvalue}
        found |= {f"{name}_mixed": int((np.array(mixed) >= r.statistic).sum())}
        found |= {f"{name}_mixed_max": max(mixed)}
    found |= {"cells": len(cells), "permutations": B, "tasks": len(t.names)}
    found["families"] = t.family.nunique()
    gain = pd.Series(np.diag(t.transfer), index=t.names)
    table = predicted_transfer(t.gradient[1600], gain, masked=True)
    first = spaces.square(table, "predicted", "source", "target").loc[t.names, t.names]
    views["residual"] = spaces.symmetric(t.transfer - first).abs()
    order = t.facts[1600].index[t.facts[1600]["bag_accuracy"] <= 0.6]
    for name, view in views.items():
        with_words = {"theory": theory, "words": t.words.abs()}
        few = [n for n in t.names if n in order]
        for kind, some, used in (
            ("alone", t.names, {"theory": theory}),
            ("words", t.names, with_words),
            ("order", few, {k: v.loc[few, few] for k, v in with_words.items()}),
        ):
            fit = families.regress(view.loc[some, some], used, t.family, B)
            row = fit.set_index("hypothesis").loc["theory"]
            keep(found, f"{name}_{kind}", row.rename({"slope": "value"}))
            found[f"{name}_{kind}_p"] = row["p"]
            found[f"{name}_{kind}_pf"] = row["p_families"]
    found["order_tasks"] = len(few)
    kin = t.kin(gradient.abs())
    keep(found, "abs_beyond", kin.loc["beyond"])
    keep(found, "signed_beyond", t.kin(gradient).loc["beyond"])
    found["abs_beyond_n"] = int((theory.where(_apart(t)).to_numpy() == 1).sum() // 2)
    return found


def _apart(t: Tables) -> pd.DataFrame:
    """True for tasks of different families."""
    label = t.family[t.names].to_numpy()
    return pd.DataFrame(label[:, None] != label[None, :], t.names, t.names)


def sheet(t: Tables) -> str:
    """The couples of sheet A with what was measured, as a Markdown table."""
    text = (ROOT / "book" / "course" / "predictions.md").read_text(encoding="utf-8")
    lines = ["| couple | cosine, step 1600 | at step 0 | words alone |", "|---|---|---|---|"]
    for a, b in re.findall(r"^\| `(\w+)` \| `(\w+)` \|", text, re.MULTILINE):
        values = (t.space[1600].loc[a, b], t.space[0].loc[a, b], t.words.loc[a, b])
        lines.append(
            f"| `{a}`, `{b}` | " + " | ".join(f"{v:+.2f}" for v in values).replace("-", "−")
        )
        lines[-1] += " |"
    return "\n".join(lines)


def numbers() -> dict:
    """All numbers of reports and key; one name never stands for two."""
    t = Tables()
    found: dict = {"sheet": sheet(t)}
    for letter, part in zip("abc", (training(t), opposition(t), witnesses(t)), strict=True):
        found |= {f"{letter}_{name}": value for name, value in part.items()}
    return found


if __name__ == "__main__":
    known = numbers()
    for template, target in targets().items():
        store.write_atomic(target, filled(template.read_text(encoding="utf-8"), known))
        store.say(f"{target.relative_to(ROOT)}")
