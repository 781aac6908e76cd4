"""Cells: the pieces of probing, each computed once.

A cell is one piece of work with one result: a model's scores, a gradient space, a row of a transfer
space. Each result is one file in the store, written whole, named by a key over all that it depends
on; what is there is not computed again. Cells know nothing of profiles: `runs` says which to run.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from taskspace_utils import ladder, store
from taskspace_utils.jobs import Job

METHODS = ("transfer", "gradient")

Texts = dict[str, tuple[str, ...]]  # lines of neutral text on which harm is measured, by name


@dataclass(frozen=True)
class Source:
    """Where a model comes from, so that a worker process can load it for itself."""

    model: str
    revision: str | None = None
    bos: str = "auto"


@dataclass(frozen=True)
class Cell:
    """One piece of probing: `kind` is accuracy, gradient, transfer or ladder."""

    kind: str
    source: Source
    task: str = ""
    tuning: tuple = ()  # items of ftgd.Config; of a ladder, its rung and its target
    k: float = 0.01


@functools.lru_cache(maxsize=2)
def loaded(source: Source):
    """The model (`LanguageModel`) of a source; a process keeps the last two."""
    import torch

    from taskspace_utils.models import load_model

    torch.set_num_threads(1)  # with more, sums are added up in another order
    return load_model(source.model, source.revision, source.bos)


def run_cell(cell: Cell, pairs: pd.DataFrame, texts: Texts, inputs: str) -> dict:
    """The result of a cell, from the store if it is there, else computed and stored.

    Args:
        inputs: a key that stands for pairs, texts, method and versions.

    Returns:
        Tables by name, as lists of rows; keyed by the model.
    """
    key = store.key_of(asdict(cell) | {"source": _weights_key(cell.source), "inputs": inputs})
    path = store.store_path("cells", key[:2], f"{key}.json")
    if path.is_file():
        return json.loads(path.read_text())
    found = _compute(cell, pairs, texts)
    plain = {name: table.to_dict("records") for name, table in found.items()}
    store.write_atomic(path, json.dumps(plain))
    return json.loads(path.read_text())  # the same as a later reading gives, to the last digit


def _compute(cell: Cell, pairs: pd.DataFrame, texts: Texts) -> dict[str, pd.DataFrame]:
    from taskspace_utils import ftgd, gradients, probing, scoring

    lm = loaded(cell.source)
    if cell.kind == "accuracy":
        tables = {"accuracy": scoring.score(lm, pairs)[0]}
    elif cell.kind == "gradient":
        space, facts = gradients.gradient_space(lm, pairs, cell.k)
        tables = {"gradient": space, "tasks": facts}
    elif cell.kind == "ladder":
        tables = {"ladder": ladder.climb(lm, pairs, cell.task, texts=texts, **dict(cell.tuning))}
    else:
        neutral = probing.neutral_texts(lm, texts)
        config = ftgd.Config(**dict(cell.tuning))
        before = _margins_before(
            cell.source, store.text_key([*pairs["good"], *pairs["bad"], *pairs["split"]]), pairs
        )
        row, summary, harm = probing.transfer_row(lm, pairs, cell.task, config, neutral, before)
        tables = {"transfer": row, "tuning": pd.DataFrame([summary]), "harm": harm}
    return {name: store.model_columns(table, **lm.keys) for name, table in tables.items()}


_BEFORE: dict = {}


def _margins_before(source: Source, key: str, pairs: pd.DataFrame):
    """Margins of the eval pairs before tuning: the same for all rows that a process works on."""
    from taskspace_utils.scoring import margins

    if (source, key) not in _BEFORE:
        _BEFORE.clear()
        _BEFORE[source, key] = margins(loaded(source), pairs[pairs["split"] == "eval"])
    return _BEFORE[source, key]


def cell_jobs(
    cells: Iterable[Cell], pairs: pd.DataFrame, texts: Texts, after: int | None = None
) -> list[Job]:
    """A job for each cell.

    Args:
        after: place of the job that makes the cells' model, where it isn't there yet.
    """
    parts = {
        "pairs": store.text_key(map(repr, pairs.itertuples(index=False))),
        "texts": store.text_key(line for n in texts for line in (n, *texts[n], "")),
        "method": store.method_version(),
        **store.versions(),
    }
    inputs = dict.fromkeys(("accuracy", "gradient", "transfer"), store.key_of(parts))
    inputs["ladder"] = store.key_of(parts | {"ladder": store.code_version("ladder")})
    tokens = pairs["good"].str.split().str.len().sum() * 2
    own = tokens / max(1, pairs["task"].nunique())  # of one task
    # passes over tokens: a gradient costs three, a tuning takes about twelve gradients
    cost = {"accuracy": tokens, "gradient": 3 * tokens, "transfer": tokens / 2 + 18 * own}
    cost["ladder"] = tokens + 60 * own
    return [Job(run_cell, (c, pairs, texts, inputs[c.kind]), cost[c.kind], after) for c in cells]


def tables_of(results: Iterable[dict]) -> dict[str, pd.DataFrame]:
    """The tables of many cells, those of one name put together."""
    found: dict[str, list] = {}
    for tables in results:
        for name, rows in tables.items():
            found.setdefault(name, []).extend(rows)
    return {
        name: pd.DataFrame(rows, columns=[*store.TABLES[name][0], *store.TABLES[name][1]])
        for name, rows in found.items()
    }


@functools.lru_cache(maxsize=8)
def _weights_key(source: Source) -> str:
    folder = Path(source.model)
    if folder.is_dir():
        kinds = (".safetensors", ".json", ".txt", ".model")  # weights, configuration, tokenizer
        content = store.tree_hash(p for p in folder.iterdir() if p.suffix in kinds)
        return f"{folder.resolve().name} {content} {source.bos}"  # rows carry the model's name
    return f"{source.model}@{source.revision} {source.bos}"


def probing_cells(
    source: Source,
    tasks: Iterable[str],
    tunings: Iterable[dict],
    methods: Iterable[str],
    k: float = 0.01,
) -> list[Cell]:
    """One model's cells: accuracy, gradient space, a transfer row a task and tuning."""
    tasks = sorted(tasks)
    cells = [Cell("accuracy", source)]
    if "gradient" in methods:
        cells.append(Cell("gradient", source, k=k))
    if "transfer" in methods:
        settings = [tuple(sorted(t.items())) for t in tunings]
        cells += [Cell("transfer", source, task, tuning) for tuning in settings for task in tasks]
    return cells


def ladder_cells(source: Source, tasks: Iterable[str], target: float) -> list[Cell]:
    """One model's ladder: a cell a task and rung."""
    settings = [(("rung", rung), ("target", float(target))) for rung in ladder.RUNGS]
    return [Cell("ladder", source, task, one) for task in sorted(tasks) for one in settings]


def plan(source: Source, pairs: pd.DataFrame, methods: Iterable[str], tunings: int) -> str:
    """What a probe would take, from the sizes and one timed pass; runs nothing else."""
    from taskspace_utils.ftgd import parameters
    from taskspace_utils.scoring import CHUNK_TOKENS, chunks, sequence_log_probabilities

    lm = loaded(source)
    good, bad = lm.encode(list(pairs["good"])), lm.encode(list(pairs["bad"]))
    train = (pairs["split"] == "train").to_numpy()
    lengths = pd.Series([len(g) + len(b) for g, b in zip(good, bad, strict=True)])
    tasks, evaluated, trained = pairs["task"].nunique(), lengths[~train].sum(), lengths[train].sum()
    places = next(chunks(good, CHUNK_TOKENS))
    sequence_log_probabilities(lm.model, [good[i] for i in places[:2]])  # the first pass is slow
    began = time.perf_counter()
    sequence_log_probabilities(lm.model, [good[i] for i in places]).detach()
    rate = sum(len(good[i]) for i in places) / (time.perf_counter() - began)
    passes = lengths.sum()  # tokens in a forward pass; a backward pass costs two
    if "gradient" in methods:
        passes += 3 * lengths.sum()
    if "transfer" in methods:  # a tuning takes about 12 gradients of its train pairs
        passes += tunings * (tasks * 2 * evaluated + 12 * 3 * trained)
    size = sum(p.numel() for p in parameters(lm.model).values())
    vectors = 2 * tasks if "gradient" in methods else 0
    workers = min(os.cpu_count() or 1, tasks)
    memory = size * 4 * (vectors + 6 * workers) / 1e9 + 0.6 * workers
    shown = pairs.index[:2] if len(pairs) > 1 else pairs.index
    lines = [
        f"model     {lm.name}: {size / 1e6:.2f} million parameters, BOS policy {lm.bos}",
        f"tasks     {tasks}, {len(pairs)} pairs, {lengths.sum()} tokens",
        f"methods   {', '.join(methods)}; {tunings} tunings of each task",
        f"minutes   about {passes / rate / 60 / workers:.0f} with {workers} processes",
        f"memory    about {memory:.1f} GB",
        f"disk      about {(tasks**2 * 250 * (1 + tunings)) / 1e6:.1f} MB",
    ]
    for i in shown:
        for side, ids in (("good", good[i]), ("bad", bad[i])):
            lines.append(f"{side:<9} {' '.join(lm.tokenizer.convert_ids_to_tokens(ids))}")
    return "\n".join(lines)
