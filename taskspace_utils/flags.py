"""Flags: what a run could not measure, or not well, task by task, so that no mean hides it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from taskspace_utils.tables import Run, only


def flagged(run: Run, tuning: str | None = None, **where) -> pd.DataFrame:
    """Tasks of one model that carry a flag, by what they are flagged as.

    A source is flagged for its tuning, a target for what was to be evaluated, a task's gradient for
    itself. A task of the run that a table does not have is flagged as missing there.

    Args:
        tuning: which tuning, for sources and targets; without one, gradients alone are looked at.
        where: which model, such as scale="M", step=800.

    Returns:
        columns role (source, target or gradient), task, reason; a row a flag.
    """
    names = sorted(run.manifest["tasks"])
    rows = []

    def add(role: str, task: str, reason: str) -> None:
        rows.append({"role": role, "task": task, "reason": reason})

    def some(name: str, **also) -> pd.DataFrame:
        return only(run.table(name), where | also).fillna({"flag": ""})

    facts = some("tasks").set_index("task")
    for task in names:
        if task not in facts.index:
            add("gradient", task, "missing: too few pairs for two halves")
        elif facts.loc[task, "flag"]:
            add("gradient", task, facts.loc[task, "flag"])
    if tuning is not None:
        summary = some("tuning", tuning=tuning).set_index("source")
        cells = some("transfer", tuning=tuning)
        first = cells.drop_duplicates("target").set_index("target")["flag"]
        broken = cells[~np.isfinite(cells["margin_after"])]["source"].unique()
        tuned = set(run.manifest.get("sources", names))  # a probe may ask for some cells only
        seen = set(run.manifest.get("targets", names))
        for task in names:
            if task not in tuned:
                pass
            elif task not in summary.index:
                add("source", task, "missing: no train pairs")
            elif task in broken:
                add("source", task, "not finite after tuning")
            elif summary.loc[task, "reached"] == 0:
                add("source", task, summary.loc[task, "flag"] or "target not reached")
            if task not in seen:
                continue
            if task not in first.index:
                add("target", task, "missing: no eval pairs")
            elif first[task] and first[task] != "not finite after tuning":
                add("target", task, first[task])
    return pd.DataFrame(rows, columns=["role", "task", "reason"])


def counted(flags: pd.DataFrame, total: int, names: int = 6) -> str:
    """How many tasks carry each flag, and which, as a Markdown list.

    Args:
        total: tasks that were looked at.
        names: how many of them are named in a line; `flags` itself has them all.
    """
    lines = []
    for (role, reason), part in flags.groupby(["role", "reason"], sort=True):
        some = [task.replace("_", " ") for task in part["task"]]
        rest = f", and {len(some) - names} more" if len(some) > names else ""
        what = "" if role == "gradient" else f"as a {role}, "
        lines.append(
            f"- {what}*{reason}*: {len(some)} of {total} tasks ({', '.join(some[:names])}{rest})"
        )
    return "\n".join(lines) if lines else f"None of {total} tasks carries a flag."
