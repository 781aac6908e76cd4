"""Cells: the pieces of probing, each computed once.

A cell is one piece of work with one result: a model's scores, a gradient space, a row of a transfer
space. Each result is one record in the store (see `records`), named by a key over all that it
depends on; what is there and sound is not computed again. The pairs and texts that cells work on
are a record too, so that a job is small and a result can be traced to its sentences. Cells know
nothing of profiles: `runs` says which to run.
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

from taskspace_utils import ladder, records, store
from taskspace_utils.jobs import Job
from taskspace_utils.store import InputError
from taskspace_utils.tables import TABLES, model_columns

METHODS = ("transfer", "gradient")

Texts = dict[str, tuple[str, ...]]  # lines of neutral text on which harm is measured, by name


@dataclass(frozen=True)
class Source:
    """Where a model comes from, so that a worker process can load it for itself.

    Fields are as of `opening.load_model`; `params` says which of its weights are free to move, see
    `partial.restrict`.
    """

    model: str
    revision: str | None = None
    bos: str = "auto"
    params: str = ""
    scoring: str = "causal"


@dataclass(frozen=True)
class Cell:
    """One piece of probing: `kind` is accuracy, gradient, placement, transfer or ladder."""

    kind: str
    source: Source
    task: str = ""
    # items of ftgd.Config; of a ladder, its rung and its target; of a placement, the tasks to place
    tuning: tuple = ()
    k: float = 0.01


def loaded(source: Source):
    """The model (`LanguageModel`) of a source; a process keeps the last two."""
    from taskspace_utils.models import chosen_hardware

    return _loaded(source, _files_key(source), chosen_hardware())


@functools.lru_cache(maxsize=2)
def _loaded(source: Source, files: str, hardware: tuple[str, str]):
    import torch

    from taskspace_utils.opening import load_model

    torch.set_num_threads(1)  # with more, sums are added up in another order
    lm = load_model(source.model, source.revision, source.bos, *hardware, source.scoring)
    if source.params:
        from taskspace_utils.partial import restrict

        lm = restrict(lm, source.params)
    return lm


def run_cell(cell: Cell, inputs: str) -> dict:
    """The result of a cell, from the store if it is there and sound, else computed and stored.

    Args:
        inputs: key of the pairs and texts; see `keep_inputs`.

    Returns:
        Tables by name, as lists of rows; keyed by the model.
    """
    about = about_cell(cell, inputs)
    key = store.key_of(about)
    path = store.store_path("cells", key[:2], f"{key}.json")
    found = records.read_record(path)
    if found is None:
        computed = _compute(cell, *_inputs(inputs))
        plain = {name: table.to_dict("records") for name, table in computed.items()}
        records.write_record(path, about, plain)
        found = json.loads(json.dumps(plain))  # as a later reading gives it, to the last digit
    return found


def about_cell(cell: Cell, inputs: str) -> dict:
    """What a cell's result depends on, to be read by people and made a key of."""
    from taskspace_utils.models import chosen_hardware

    return {
        "kind": cell.kind,
        "task": cell.task,
        "tuning": dict(cell.tuning),
        "k": cell.k,
        "model": _about_model(cell.source),
        "inputs": inputs,
        "hardware": list(chosen_hardware()),
        **present_code(cell.kind),
        **({"pseudo": store.code_version("pseudo")} if cell.source.scoring == "pseudo" else {}),
    }


def present_code(kind: str) -> dict:
    """The part of a result's key that is not its settings: code and versions, as they are now."""
    rooms = {"ladder": "ladder", "placement": "blocks"}
    own = {rooms[kind]: store.code_version(rooms[kind])} if kind in rooms else {}
    return {"method": store.method_version(), **own, "versions": store.versions()}


def keep_inputs(pairs: pd.DataFrame, texts: Texts) -> str:
    """Write pairs and texts into the store, as plain JSON; return their key."""
    about = {
        "pairs": store.text_key(map(repr, pairs.itertuples(index=False))),
        "texts": store.text_key(line for n in texts for line in (n, *texts[n], "")),
    }
    rows = pairs.astype(object).to_numpy().tolist()
    content = {"columns": list(pairs.columns), "rows": rows, "texts": texts}
    key = store.key_of(about)
    records.write_record(store.store_path("inputs", f"{key}.json"), about, content)
    return key


@functools.lru_cache(maxsize=2)
def _inputs(key: str) -> tuple[pd.DataFrame, Texts]:
    path = store.store_path("inputs", f"{key}.json")
    found = records.read_record(path)
    if found is None:
        raise InputError(f"{path} is gone or broken: start the same command again")
    texts = {name: tuple(lines) for name, lines in found["texts"].items()}
    return pd.DataFrame(found["rows"], columns=found["columns"]), texts


def _compute(cell: Cell, pairs: pd.DataFrame, texts: Texts) -> dict[str, pd.DataFrame]:
    from taskspace_utils import blocks, ftgd, gradients, opening, probing

    lm = loaded(cell.source)
    if cell.kind == "accuracy":
        tables = {"accuracy": opening.score(lm, pairs)[0]}
    elif cell.kind == "gradient":
        space, facts = gradients.gradient_space(lm, pairs, cell.k)
        tables = {"gradient": space, "tasks": facts}
    elif cell.kind == "placement":
        tables = {"placement": blocks.placement(lm, pairs, list(dict(cell.tuning)["own"]))}
    elif cell.kind == "ladder":
        tables = {"ladder": ladder.climb(lm, pairs, cell.task, texts=texts, **dict(cell.tuning))}
    else:
        neutral = probing.neutral_texts(lm, texts)
        config = ftgd.Config(**dict(cell.tuning))
        before = _margins_before(
            lm, store.text_key([*pairs["good"], *pairs["bad"], *pairs["split"]]), pairs
        )
        row, summary, harm = probing.transfer_row(lm, pairs, cell.task, config, neutral, before)
        tables = {"transfer": row, "tuning": pd.DataFrame([summary]), "harm": harm}
    return {name: model_columns(table, **lm.keys) for name, table in tables.items()}


_BEFORE: dict = {}


def _margins_before(lm, key: str, pairs: pd.DataFrame):
    """Margins of the eval pairs before tuning: the same for all rows that a process works on."""
    from taskspace_utils.scoring import margins

    key = f"{id(lm)} {key}"
    if key not in _BEFORE:
        _BEFORE.clear()
        _BEFORE[key] = lm, margins(lm, pairs[pairs["split"] == "eval"])  # lm stays, so does its id
    return _BEFORE[key][1]


def cell_jobs(
    cells: Iterable[Cell], pairs: pd.DataFrame, texts: Texts, after: int | None = None
) -> list[Job]:
    """A job for each cell.

    Args:
        after: place of the job that makes the cells' model, where it isn't there yet.
    """
    inputs = keep_inputs(pairs, texts)
    tokens = pairs["good"].str.split().str.len().sum() * 2
    own = tokens / max(1, pairs["task"].nunique())  # of one task
    # passes over tokens: a gradient costs three, a tuning takes about twelve gradients
    cost = {"accuracy": tokens, "gradient": 3 * tokens, "transfer": tokens / 2 + 18 * own}
    cost |= {"ladder": tokens + 60 * own, "placement": 4 * tokens}
    return [Job(run_cell, (c, inputs), cost[c.kind], after) for c in cells]


def tables_of(results: Iterable[dict]) -> dict[str, pd.DataFrame]:
    """The tables of many cells, those of one name put together."""
    found: dict[str, list] = {}
    for tables in results:
        for name, rows in tables.items():
            found.setdefault(name, []).extend(rows)
    return {
        name: pd.DataFrame(rows, columns=[*TABLES[name][0], *TABLES[name][1]])
        for name, rows in found.items()
    }


def _files_key(source: Source) -> str:
    """Stands for a folder's weights, configuration and tokenizer; "" for a model of the hub."""
    folder, kinds = Path(source.model), (".safetensors", ".json", ".txt", ".model")
    if not folder.is_dir():
        return ""
    return store.tree_hash(path for path in folder.iterdir() if path.suffix in kinds)


def _about_model(source: Source) -> dict:
    from taskspace_utils.models import CARD

    about = {name: value for name, value in asdict(source).items() if name != "model"}
    if about.pop("params"):  # what moves all weights keeps the name that it had before there was it
        about |= {"params": source.params, "partial": store.code_version("partial")}
    if source.scoring == "causal":  # as the keys were before there was another
        del about["scoring"]
    folder = Path(source.model)
    if not folder.is_dir():  # a branch of the hub moves: the commit that was loaded counts
        return about | {"name": source.model, "weights": loaded(source).weights}
    card = json.loads((folder / CARD).read_text()) if (folder / CARD).is_file() else {}
    name = card.get("name") or folder.resolve().name  # rows carry it
    return about | {"name": name, "step": card.get("step", ""), "files": _files_key(source)}


def probing_cells(
    source: Source,
    tasks: Iterable[str],
    tunings: Iterable[dict],
    methods: Iterable[str],
    k: float = 0.01,
    own: Iterable[str] = (),
) -> list[Cell]:
    """One model's cells: accuracy, gradient space, a transfer row a task and tuning.

    Args:
        tasks: those that are tuned.
        own: those that are placed among all others; see `blocks.placement`.
    """
    tasks, own = sorted(tasks), sorted(own)
    cells = [Cell("accuracy", source)]
    if "gradient" in methods:
        cells.append(Cell("gradient", source, k=k))
        cells += [Cell("placement", source, tuning=(("own", tuple(own)),))] if own else []
    if "transfer" in methods:
        settings = [tuple(sorted(t.items())) for t in tunings]
        cells += [Cell("transfer", source, task, tuning) for tuning in settings for task in tasks]
    return cells


def ladder_cells(source: Source, tasks: Iterable[str], target: float) -> list[Cell]:
    """One model's ladder: a cell a task and rung."""
    settings = [(("rung", rung), ("target", float(target))) for rung in ladder.RUNGS]
    return [Cell("ladder", source, task, one) for task in sorted(tasks) for one in settings]


def plan(
    source: Source,
    pairs: pd.DataFrame,
    methods: Iterable[str],
    tunings: int,
    sources: int | None = None,
    workers: int | None = None,
    own: int = 0,
) -> str:
    """What a probe would take, from the sizes and one timed pass; runs nothing else.

    Args:
        sources: how many tasks are tuned; all by default.
        workers: number of processes; a core one by default.
        own: how many tasks are placed among all; see `blocks.placement`.
    """
    from taskspace_utils import blocks
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
    rows = (own + 1) * 2 * blocks.BLOCKS if own and "gradient" in methods else 0
    if rows:  # all gradients again, in small blocks at twice the cost, and their inner products
        passes += 6 * lengths.sum() + rows * 2 * blocks.BLOCKS * tasks
    if "transfer" in methods:  # a tuning takes about 12 gradients of its train pairs
        lessons = tasks if sources is None else sources
        passes += tunings * lessons * (2 * evaluated + 12 * 3 * trained / tasks)
    size = sum(p.numel() for p in parameters(lm.model).values())
    whole = sum(p.numel() for p in lm.model.parameters())  # what may not move is held all the same
    kept = rows + (2 * tasks if "gradient" in methods else 0)  # gradients, in files while it runs
    workers = workers or min(os.cpu_count() or 1, tasks)
    memory = (whole + 5 * size) * 4 * workers / 1e9 + 0.6 * workers
    disk = tasks**2 * 250 * (1 + tunings) / 1e6
    of = "each task" if sources is None else f"{sources} tasks"
    taught = f"; {tunings} tunings of {of}" if "transfer" in methods else ""
    placed = f"; tasks placed: {own}" if rows else ""
    free = f", of which {size / 1e6:.2f} million may move" if source.params else ""
    shown = pairs.index[:2] if len(pairs) > 1 else pairs.index
    lines = [
        f"model     {lm.name}: {whole / 1e6:.2f} million parameters{free}, BOS policy {lm.bos}",
        f"tasks     {tasks}, {len(pairs)} pairs, {lengths.sum()} tokens",
        f"methods   {', '.join(methods)}{taught}{placed}",
        f"minutes   about {passes / rate / 60 / workers:.0f} with {workers} processes",
        f"memory    about {memory:.1f} GB",
        f"disk      about {disk:.1f} MB; {kept * size * 4 / 1e9:.2g} GB more while it runs",
    ]
    for i in shown:
        for side, ids in (("good", good[i]), ("bad", bad[i])):
            lines.append(f"{side:<9} {' '.join(lm.tokenizer.convert_ids_to_tokens(ids))}")
    return "\n".join(lines)
