"""The report on a probe: a notebook and one page that needs nothing else (chapter 13).

`report.md` beside this file is the notebook's text; papermill executes it on a run folder, and
`sheet.page` makes one HTML file of it. Each section is a function here that a notebook can call.
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pandas as pd

from taskspace_utils import sample_size, store
from taskspace_utils.placement import models_of, placed
from taskspace_utils.publishing import beside, sayings
from taskspace_utils.publishing.sheet import Shown, page, paragraph, picture, table
from taskspace_utils.tables import Run, only

TEMPLATE = Path(__file__).with_suffix(".md")
NEEDED = ("jupytext", "papermill", "ipykernel", "markdown-it-py")  # as pip calls them
NEAREST = 6  # neighbours of a task that are shown


def missing() -> list[str]:
    """What a report needs and this environment lacks; names of packages."""
    found = []
    for name in NEEDED:
        try:
            distribution(name)
        except PackageNotFoundError:
            found.append(name)
    return found


def write(run: Run) -> tuple[Path, Path]:
    """Write `report.ipynb` and `report.html` into a run folder.

    Raises:
        InputError: the run is none of a probe, or not as it was written.
        BuildError: a cell of the notebook failed.
    """
    import nbformat

    from taskspace_utils.publishing import chapters

    if not run.has("accuracy"):
        raise store.InputError(f"{run.folder} has no table of accuracies: probe a model first")
    _check(run)
    with tempfile.TemporaryDirectory(prefix="taskspaces-") as folder:
        target = Path(folder, "report.ipynb")
        nbformat.write(chapters.read_chapter(TEMPLATE), target)
        done = chapters.papermill(target, {"folder": str(run.folder.resolve())}, Path(folder))
        notebook = nbformat.read(target, as_version=4)
    cell, problem = chapters.first_problem(notebook)
    if problem or done.returncode:
        last = (done.stderr.strip().splitlines() or ["papermill gave no reason"])[-1]
        where = f" in `{cell.source.splitlines()[0]}`" if cell else ""
        raise chapters.BuildError(f"the report{where}: {problem or last}")
    for cell in notebook.cells:  # progress is for whom it passes by
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    first = store.write_atomic(run.folder / "report.ipynb", nbformat.writes(notebook))
    return first, store.write_atomic(run.folder / "report.html", page(notebook))


def _check(run: Run) -> None:
    """Refuse a run whose numbers may not be those that were measured."""
    again = "`taskspaces probe` with the same options makes it again, from what it has kept"
    tasks, sums = run.manifest.get("tasks"), run.manifest.get("sha256")
    own = run.manifest.get("own", tasks)
    named = all(isinstance(some, list) and some for some in (tasks, own))
    if not named or not isinstance(sums, dict) or [task for task in own if task not in tasks]:
        raise store.InputError(
            f"{run.folder}: its manifest.json does not say which tasks were probed, so it is no "
            f"run of a probe, or was edited. {again}"
        )
    if faults := run.faults():
        raise store.InputError(f"{'; '.join(faults[:3])}: no report on other numbers. {again}")


# ------------------------------------------------------------------------------------- the sections


def _each(run: Run, section: Callable[[Run, dict], str]) -> Shown:
    """A section for each model of a run, with a heading where there are several."""
    models = models_of(run)
    if len(models) == 1:
        return Shown(section(run, models[0]))
    return Shown("".join(f"<h3>{html.escape(_called(m))}</h3>{section(run, m)}" for m in models))


def _called(model: dict) -> str:
    step = f", step {model['step']:g}" if "step" in model else ""
    return f"{model['model']}{step}"


def own_tasks(run: Run) -> list[str]:
    """The tasks that were asked about; all, where the run has no context."""
    return list(run.manifest.get("own") or run.manifest["tasks"])


def about(run: Run) -> Shown:
    """Which models, pairs and settings the report is on."""
    found = run.manifest
    own = own_tasks(run)
    rows = {
        "models": "; ".join(_called(model) for model in models_of(run)),
        "weights that may move": found.get("params") or "all",
        "sentences begin with": found.get("bos", ""),
        "own tasks": f"{len(own)}: {', '.join(own)}",
        "context": f"{found['context']}, {len(found['tasks']) - len(own)} tasks"
        if found.get("context")
        else "none",
        "pairs a task": f"at most {found.get('pairs_per_task', 'as given')}",
        "tuned": ", ".join(found["sources"]) if "sources" in found else "every task",
        "evaluated": ", ".join(found["targets"]) if "targets" in found else "every task",
        "device and precision": f"{found.get('device', '')}, {found.get('precision', '')}",
        "seconds": f"{found.get('seconds', 0):g}",
        "versions": ", ".join(f"{n} {v}" for n, v in found.get("versions", {}).items()),
    }
    if not run.has("transfer"):
        rows["tuned"] = rows["evaluated"] = "nothing"
    shown = pd.DataFrame({"setting": list(rows), "what was probed": list(rows.values())})
    return Shown(table(shown, "The probe"))


def accuracy(run: Run) -> Shown:
    """Accuracy with Wilson's interval, margin, and what a bag of words would get."""
    return _each(run, _accuracy)


def _accuracy(run: Run, where: dict) -> str:
    some = only(run.table("accuracy"), where).set_index("task").loc[own_tasks(run)]
    ends = [sayings.interval(a, n) for a, n in zip(some["accuracy"], some["n"], strict=True)]
    shown = pd.DataFrame({"task": some.index, "pairs": some["n"].astype(int)})
    shown["accuracy"] = some["accuracy"].to_numpy(float)  # a table of ones is read as whole numbers
    shown["low"], shown["high"] = np.array(ends).T
    shown["margin (nats)"] = some["margin"].to_numpy()
    if run.has("tasks"):
        bags = only(run.table("tasks"), where).set_index("task")["bag_accuracy"]
        shown["bag of words"] = bags.reindex(some.index).to_numpy()
    return table(shown, "Accuracy with its 95 % interval, as if pairs had nothing to do with each "
                 "other (pairs made of one mould are worth fewer); mean margin; accuracy of a bag "
                 "of words")  # fmt: skip


def space(run: Run) -> Shown:
    """The gradient space as a heat map."""
    return _each(run, _space)


def _space(run: Run, where: dict) -> str:
    from taskspace_utils.figures import space as figure

    if not run.has("gradient"):
        return paragraph("No gradients were measured.")
    cells = figure.load(run, "cosine", **where)
    if cells["source"].nunique() < 2:
        return paragraph("One task spans no space.")
    named = f"Heat map of {cells['source'].nunique()} tasks by {cells['source'].nunique()}: "
    drawn = figure.plot(cells, limit=1.0)
    return picture(drawn, named + "cosines of their gradients, red where alike, blue where opposed")


def reliability(run: Run) -> Shown:
    """How stable each task's gradient is, and how many pairs would make it stabler."""
    return _each(run, _reliability)


def _reliability(run: Run, where: dict) -> str:
    if not run.has("tasks"):
        return paragraph("No gradients were measured.")
    facts = only(run.table("tasks"), where).set_index("task")
    n = only(run.table("accuracy"), where).set_index("task")["n"].astype(int)
    names = [task for task in own_tasks(run) if task in facts.index]
    some = facts.loc[names, ["reliability"]].reset_index().assign(n=n.reindex(names).to_numpy())
    shown = sample_size.table(some).rename(columns={"n": "pairs"})
    if run.has("placement"):
        ends = only(run.table("placement"), where).query("a == b").set_index("a")
        for place, name in enumerate(("low", "high"), 3):
            shown.insert(place, name, ends[name].reindex(names).to_numpy())
    for name in (c for c in shown if c.startswith("for ")):
        shown[name] = [f"{x:.0f}" if np.isfinite(x) else "can't be told" for x in shown[name]]
    return table(shown, "Reliability (cosine of the gradients of two halves of the pairs), and how "
                 "many pairs would give 0.5, 0.7 and 0.9")  # fmt: skip


def neighbours(run: Run) -> Shown:
    """Each task's nearest tasks: intervals, what words explain, and ranks among controls."""
    return _each(run, _neighbours)


def _neighbours(run: Run, where: dict) -> str:
    from taskspace_utils.figures import placement as figure

    if not run.has("placement"):
        return paragraph("No task was placed: gradients were not asked for, or there are more "
                         "tasks of one's own than are placed with intervals.")  # fmt: skip
    near = placed(run, **where)
    reliable = near.dropna(subset="corrected")
    if reliable.empty:
        return paragraph("No task has a gradient reliable enough to have a place.")
    names = {"b": "nearest tasks", "place": "cosine, corrected", "nearest": "nearest in",
             "lexical_diff": "words", "excess": "beyond words",
             "share_below": "rank among unrelated", "above_nearest": "rank among nearest",
             "above_shams": "rank among shams", "above_flips": "rank among flips"}  # fmt: skip
    ends = reliable[["corrected", "corrected_low", "corrected_high"]]
    reliable = reliable.assign(place=[
        # spaces at which no line ends
        f"{value:.2f}\N{NO-BREAK SPACE}[{low:.2f},\N{NO-BREAK SPACE}{high:.2f}]"
        if np.isfinite(low) else f"{value:.2f}"
        for value, low, high in ends.itertuples(index=False)
    ])  # fmt: skip
    parts = []
    if lost := sorted(set(near["a"]) - set(reliable["a"])):
        parts.append(paragraph(f"Too noisy to have a place: {', '.join(lost)}."))
    for task, some in reliable.groupby("a"):
        shown = some.head(NEAREST)[list(names)].rename(columns=names)
        parts.append(table(shown, f"{task}: its nearest tasks"))
    drawn = figure.plot(figure.load(run, NEAREST, **where))
    alt = "The nearest tasks of each task, corrected cosines with 95 % intervals as points and "
    return picture(drawn, alt + "lines, and a cross where words alone would put them") + "".join(
        parts
    )


def transfer(run: Run) -> Shown:
    """What teaching a task did to itself and to others."""
    return _each(run, _transfer)


def _transfer(run: Run, where: dict) -> str:
    if not run.has("transfer"):
        why = run.manifest.get("no_transfer", "It was not asked for")
        return paragraph(f"No task was taught. {why[0].upper()}{why[1:]}.")
    lessons, cells = (only(run.table(name), where) for name in ("tuning", "transfer"))
    cells = cells.assign(change=cells["margin_after"] - cells["margin_before"])
    shown = lessons[["source", "tuning", "own_gain", "steps"]].copy()
    shown["reached"] = ["yes" if r else f or "no" for r, f in
                        zip(lessons["reached"], lessons["flag"], strict=True)]  # fmt: skip
    most = []
    for row in shown.itertuples():
        some = cells[(cells["source"] == row.source) & (cells["tuning"] == row.tuning)]
        some = some[(some["target"] != row.source) & some["change"].notna()]
        some = some.reindex(some["change"].abs().sort_values(ascending=False).index).head(3)
        most.append("; ".join(f"{r.target} {r.change:+.2f} ± {1.96 * r.margin_se:.2f}"
                              for r in some.itertuples()))  # fmt: skip
    shown["moved most (nats)"] = most
    return table(shown, "Tunings: gain of the own margin (nats), and the tasks that moved most")


def comparison(run: Run) -> Shown:
    """The same tasks in the models whose tables are shipped."""
    return _each(run, _comparison)


def _comparison(run: Run, where: dict) -> str:
    if run.manifest.get("scoring", "causal") != "causal":
        return paragraph("The shipped models are causal, and this one's scores are of another "
                         "kind: they are not put side by side.")  # fmt: skip
    parts = []
    for shipped, shared in beside.references(run):
        rows = beside.accuracies(run, where, shipped, shared)
        seeds, name = shipped.table("accuracy")["seed"].nunique(), shipped.folder.name
        of = "1 seed" if seeds == 1 else f"{seeds} seeds"
        parts.append(table(rows, f"Mean accuracy on {len(shared)} tasks that the reference models "
                           f"{name} were asked too ({of}, last step)"))  # fmt: skip
        if run.has("gradient"):
            parts.append(table(
                beside.likeness(run, where, shipped),
                "Rank correlation of gradient spaces over the tasks that all of these models have "
                "reliably; what seeds of one scale have among themselves is as much as can be "
                "asked",
            ))  # fmt: skip
    if not parts:
        return paragraph("No shipped model was asked the same tasks. With --context grammar or "
                         "blimp there are some.")  # fmt: skip
    return "".join(parts)


def conclusions(run: Run) -> Shown:
    """What may be said, and what may not."""
    return _each(run, _conclusions)


def _conclusions(run: Run, where: dict) -> str:
    may, may_not = sayings.split(sayings.sayings(run, **where))
    parts = []
    for title, some in (("You may say", may), ("You may not say", may_not)):
        lines = "".join(
            f"<li>{f'<strong>{html.escape(s.task)}</strong>: ' if s.task else ''}"
            f'{html.escape(s.text)} <span class="because">({html.escape(s.because)})</span></li>'
            for s in some
        )
        parts.append(f"<h3>{title}</h3><ul>{lines or '<li>Nothing.</li>'}</ul>")
    return "".join(parts)
