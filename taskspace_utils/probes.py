"""Probes: any model with any pairs, without a profile (chapter 13).

Cells compute and store; here it is said which cells a probe has, for one model or for several
revisions of one, and what the run folder's manifest tells about them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from taskspace_utils import jobs, store
from taskspace_utils.assembly import assemble
from taskspace_utils.cells import (
    METHODS,
    Source,
    Texts,
    cell_jobs,
    loaded,
    probing_cells,
    tables_of,
)
from taskspace_utils.legibility import check_tokens
from taskspace_utils.store import InputError
from taskspace_utils.tables import Run


def probe(
    source: Source | Iterable[Source],
    pairs: pd.DataFrame,
    out: str | Path,
    methods: Iterable[str] = METHODS,
    tunings: Iterable[dict] = ({"k": 0.01}, {"k": 1.0}),
    texts: Texts | None = None,
    about: dict | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    own: Iterable[str] = (),
    sources: Iterable[str] | None = None,
    targets: Iterable[str] | None = None,
) -> Run:
    """Probe a model, or several, with any pairs whose `split` is filled; a broken-off run goes on.

    Args:
        source: where the model comes from; several, such as revisions of one, make one run.
        pairs: those of all tasks, with `split` filled.
        out: the folder of the run, which must be new or a run.
        methods: "transfer" and "gradient", or one of them.
        tunings: settings of `ftgd.Config`, each of which is a transfer space.
        texts: lines of neutral text on which harm is measured, by the texts' names.
        about: what else the manifest should say, `pair_seed` at least.
        workers: number of processes; a core one by default.
        scheduler: a dask scheduler, whose workers do it instead; see `jobs.run`.
        own: tasks to place among all, with intervals; see `blocks.placement`.
        sources: the tasks that are tuned; all by default.
        targets: the tasks in which a tuning is evaluated; all by default.

    Raises:
        InputError: two sources are models of one name and step.
    """
    store.new_folder(out, "manifest.json")
    models = [source] if isinstance(source, Source) else list(source)
    found, tunings, began = [loaded(one) for one in models], list(tunings), time.monotonic()
    keys = [revision_keys(one, lm.keys) for one, lm in zip(models, found, strict=True)]
    for i, key in enumerate(keys):
        if key in keys[:i]:
            raise InputError(f"two of the models are called {key['model']}, of the same step")
    for lm in found[1:]:  # of the first, who asks has been told
        check_tokens(lm, pairs)
    tasks = sorted(pairs["task"].unique())
    asked = {"own": own, "sources": sources, "targets": targets}
    about = {
        "model": _one_or_all([lm.name for lm in found]),
        "weights": _one_or_all([lm.weights for lm in found]),
        "bos": ", ".join(dict.fromkeys(lm.bos for lm in found)),
        "scoring": models[0].scoring,
        **({"params": models[0].params} if models[0].params else {}),
        **{name: sorted(some) for name, some in asked.items() if some},
        **(about or {"pair_seed": 0}),
    }
    work, of, texts = [], [], texts or {}
    for key, one in zip(keys, models, strict=True):
        cells = probing_cells(one, sources or tasks, tunings, list(methods), own=own)
        cells.sort(key=lambda c: c.kind == "accuracy")
        rest, lessons = ([c for c in cells if (c.kind == "transfer") == is_] for is_ in (0, 1))
        work += cell_jobs(rest, pairs, texts)
        if lessons:
            work += cell_jobs(lessons, _of_lessons(pairs, sources, targets), texts)
        of += [key] * len(cells)
    names = ", ".join(lm.name for lm in found)
    store.say(f"probing {names}: {len(tasks)} tasks, {len(work)} cells")
    results = [
        {name: [row | key for row in rows] for name, rows in result.items()}
        for result, key in zip(jobs.run(work, workers, scheduler), of, strict=True)
    ]
    tables = tables_of(results)
    if targets and "transfer" in tables:
        wanted = tables["transfer"]["target"].isin(set(targets))
        tables["transfer"] = tables["transfer"][wanted]
    return assemble(Path(out), tables, pairs, tunings, about, began)


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def revision_keys(source: Source, keys: dict) -> dict:
    """A model's keys in tables; a hub's revision such as `step1000` says which step it is of."""
    named = re.fullmatch(r"step-?(\d+)", source.revision or "")
    return keys | {"step": int(named[1])} if named and keys["step"] == "" else keys


def _of_lessons(pairs: pd.DataFrame, sources, targets) -> pd.DataFrame:
    """The pairs that tunings need: train pairs of sources, eval pairs of targets."""
    if not targets:
        return pairs
    named = set(sources or pairs["task"])
    train = (pairs["split"] == "train") & pairs["task"].isin(named)
    held = (pairs["split"] == "eval") & pairs["task"].isin(set(targets))
    return pairs[train | held].reset_index(drop=True)
