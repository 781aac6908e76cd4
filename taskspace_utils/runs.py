"""Runs: what a profile's grid is run on, and the run folders that come of it.

A profile declares a grid: scale × seed × checkpoint × task. A sweep trains what is missing, runs
the grid's cells, and writes one run folder. This module imports no torch at its top, so that
parameters are checked, and an unchanged book is recognised, in a moment.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from taskspace_utils import jobs, preflight, store, trainings
from taskspace_utils.assembly import assemble
from taskspace_utils.cells import (
    Cell,
    Source,
    about_cell,
    cell_jobs,
    keep_inputs,
    ladder_cells,
    probing_cells,
    tables_of,
)
from taskspace_utils.profiles import (
    Profile,
    data_key,
    load_profile,
    required_data,
    scales_of,
    sweep_key,
)
from taskspace_utils.store import InputError
from taskspace_utils.tables import Run, model_columns, read_table

# --------------------------------------------------------------------------- pairs, corpora, models

OTHER_TEXT = "other constructions"  # neutral text of the grammar that no model is trained on


@functools.cache
def task_pairs(profile: Profile | str) -> pd.DataFrame:
    """The profile's pairs, `split` filled. Do not change the table: it is shared."""
    from taskspace_utils.grammar import load_grammar
    from taskspace_utils.pairs import read_pairs
    from taskspace_utils.sample_size import couples
    from taskspace_utils.splits import split_pairs

    profile = load_profile(profile) if isinstance(profile, str) else profile
    if profile.language == "text":
        pairs = read_pairs(required_data("blimp", "data"))
        if missing := set(profile.tasks) - set(pairs["task"]):
            raise InputError(f"no task {', '.join(sorted(missing))} among the pairs")
        pairs = pairs[pairs["task"].isin(profile.tasks)] if profile.tasks else pairs
    else:
        grammar, half = load_grammar(), profile.pairs_per_task // 2
        asked = {"train": (half, "first"), "eval": (profile.pairs_per_task - half, "second")}
        if profile.lexicon == "shared":
            asked = {"": (profile.pairs_per_task, "all")}
        parts = [
            grammar.pairs(n, profile.pair_seed, profile.tasks or None, lexicon).assign(split=split)
            for split, (n, lexicon) in asked.items()
        ]
        pairs = pd.concat(parts, ignore_index=True)
        if profile.couples:
            shared = couples(pairs)
            pairs["item"] = shared.where(shared != "", pairs["item"])
    return split_pairs(pairs, profile.pairs_per_task, profile.pair_seed)


@functools.cache
def corpus(profile: Profile | str):
    """The profile's corpus (`pretraining.Corpus`); of the grammar, no pair's sentence is in it."""
    from taskspace_utils.grammar import load_grammar
    from taskspace_utils.pretraining import HELD_OUT_LINES, Corpus, read_corpus

    profile = load_profile(profile) if isinstance(profile, str) else profile
    if profile.language == "text":
        return read_corpus(required_data("corpus"))
    grammar = load_grammar()
    pairs = task_pairs(replace(profile, couples=False))  # a split may leave some pairs out
    shown = {*pairs["good"], *pairs["bad"]}
    size, seed, without = profile.sentences, profile.corpus_seed, profile.without
    train = grammar.corpus(size, seed, exclude=shown, without=without)
    seen = shown | set(train)
    # Held-out text has all constructions, so that losses with and without one can be compared.
    held_out = grammar.corpus(HELD_OUT_LINES, seed + 1, exclude=seen)
    other = grammar.other_text(HELD_OUT_LINES, seed, exclude=seen)
    texts = {"held-out": held_out, OTHER_TEXT: other}
    return Corpus(train, texts, tuple(grammar.vocabulary()))


def training_folder(profile: Profile, scale: str, seed: int) -> Path:
    """Where the store keeps this training's checkpoints."""
    key = store.key_of(trainings.made_of(scale, corpus(profile), seed))
    return store.store_path("models", f"{scale}-seed{seed}-{key}")


def checkpoint(profile: Profile | str, scale: str, step: int, seed: int = 0):
    """A model of the profile's grid at a step (`LanguageModel`); trained first if it is missing.

    Raises:
        InputError: the profile has no such scale, seed or step.
    """
    from taskspace_utils.models import load_model
    from taskspace_utils.pretraining import checkpoint_name

    profile = load_profile(profile) if isinstance(profile, str) else profile
    if scale not in profile.scales or seed not in profile.seeds:
        raise InputError(
            f"profile {profile.name} has scales {profile.scales} and seeds {profile.seeds}, "
            f"not {scale!r} with seed {seed}"
        )
    folder = training_folder(profile, scale, seed) / checkpoint_name(step)
    if not trainings.sound(folder):
        _train(profile, scale, seed)
    if not (folder / "config.json").is_file():
        kept = sorted(int(p.name[5:]) for p in folder.parent.glob("step-*"))
        raise InputError(f"no checkpoint at step {step}; there are {', '.join(map(str, kept))}")
    return load_model(folder)


def _train(profile: Profile, scale: str, seed: int, planned: Path | None = None) -> Path:
    import torch

    from taskspace_utils.scales import load_scale

    torch.set_num_threads(1)
    folder = training_folder(profile, scale, seed)
    if planned not in (None, folder):  # a worker process reads the data for itself
        raise InputError(
            "files of data/ or of the package changed since the sweep, or a cluster's worker, was "
            "started: start it again"
        )
    extra = (*profile.probe_at, *profile.transfer_at)
    text, steps = corpus(profile), profile.steps
    about = trainings.made_of(scale, text, seed)
    about |= {"language": profile.language, "data": data_key(profile.language)}
    return trainings.train(folder, load_scale(scale), text, steps, seed, extra, about)


def trained(folder: Path, steps: int) -> tuple[int, int]:
    """The step of a training's newest checkpoint, and of its last: any process can see them."""
    return max((int(p.name[5:]) for p in folder.glob("step-*")), default=0), steps


# ------------------------------------------------------------------------------------------- sweeps


def sweep(
    profile: Profile | str,
    out: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Run:
    """Train and probe all of a profile's grid; what the store has is not done again.

    Args:
        out: the run folder; in the store by default.
        workers: number of processes; a core one by default.
        scheduler: a dask scheduler, whose workers do it instead; see `jobs.run`.
    """
    profile = load_profile(profile) if isinstance(profile, str) else profile
    key, began = sweep_key(profile), time.monotonic()
    folder = Path(out) if out else store.store_path("runs", f"{profile.name}-{key}")
    if run := _stored(folder, key)[0]:
        return run
    store.new_folder(folder, "manifest.json")  # refuse a wrong folder before hours of work
    with store.locked(f"sweep-{key}"):
        run, fault = _stored(folder, key)  # another process may have made it meanwhile
        if fault:
            store.say(f"{fault}; the run folder is put together again")
        if run:
            return run
        preflight.check(profile, task_pairs(profile)["task"].nunique(), workers, bool(scheduler))
        compute = functools.partial(jobs.run, workers=workers, scheduler=scheduler)
        return _swept(profile, folder, key, began, compute)


def _stored(folder: Path, key: str) -> tuple[Run | None, str]:
    """The run of a folder if it is the one of this key and whole; what is wrong with it."""
    if not (folder / "manifest.json").is_file():
        return None, ""
    try:
        run = Run(folder)
    except InputError as error:
        return None, str(error).split(". ")[0]
    fault = "; ".join(run.faults())
    return (run if run.manifest.get("key") == key and not fault else None), fault


def _swept(profile: Profile, folder: Path, key: str, began: float, compute: Callable) -> Run:
    pairs, texts = task_pairs(profile), corpus(profile).neutral()
    models = [(scale, seed) for scale in reversed(profile.scales) for seed in profile.seeds]
    folders = [training_folder(profile, *model) for model in models]
    work = [
        jobs.Job(
            _train,
            (profile, *model, folder),
            _training_cost(profile, model[0]),
            name=f"training {folder.name.rsplit('-', 1)[0]}",
            steps=functools.partial(trained, folder, profile.steps),
        )
        for model, folder in zip(models, folders, strict=True)
    ]
    for place, path in enumerate(folders):
        cells = _cells_of(profile, models[place][0], path)
        for job in cell_jobs(cells, pairs, texts, after=place):
            cost = job.cost * _size(models[place][0])
            work.append(replace(job, cost=cost))
    keys: list[dict] = [{}] * (len(work) - len(models))  # our own checkpoints know their keys
    for one in profile.suite():
        found = cell_jobs(_cells_at(profile, Source(*one.place), one.scale, one.step), pairs, texts)
        work += found
        keys += [{"scale": one.scale, "seed": one.seed, "step": one.step}] * len(found)
    say = f"profile {profile.name}: training {len(models)} models, probing them in"
    if profile.models:
        say = f"profile {profile.name}: probing {len(profile.suite())} checkpoints in"
    store.say(f"{say} {len(keys)} cells")
    results = [
        {name: [row | key for row in rows] for name, rows in result.items()}
        for result, key in zip(compute(work)[len(models) :], keys, strict=True)
    ]
    tables = tables_of(results)
    logs = [
        model_columns(log.drop(columns="step"), f"{scale}-seed{seed}", scale, seed, log["step"])
        for (scale, seed), path in zip(models, folders, strict=True)
        for log in [read_table(path / "training.csv")]
    ]
    if logs:
        training = pd.concat(logs)
        tables["training"] = training[
            training["step"].isin(_steps(profile))
        ]  # longer ones left more
    about = {"key": key, "profile": profile.name, "pair_seed": profile.pair_seed} | {
        "parameters": {k: v for k, v in vars(profile).items() if k != "chapters"},
        "bos": "auto" if profile.models else "bos",
    }
    tunings = profile.tunings_of(*scales_of(profile))
    return assemble(folder, tables, pairs, tunings, about, began)


def _cells_of(profile: Profile, scale: str, folder: Path) -> list[Cell]:
    """All cells of a training's checkpoints, the longest first: no core waits at the end."""
    from taskspace_utils.pretraining import checkpoint_name

    found = []
    for step in _steps(profile):
        source = Source(str(folder / checkpoint_name(step)))
        found += _cells_at(profile, source, scale, step)
        asked = profile.ladder
        if asked and (scale, step) == (asked["scale"], asked["step"]):
            found += ladder_cells(source, asked["tasks"], asked["target"])
    kinds = ("gradient", "ladder", "transfer", "accuracy")
    return sorted(found, key=lambda cell: kinds.index(cell.kind))


def _cells_at(profile: Profile, source: Source, scale: str, step: int) -> list[Cell]:
    """The cells of one checkpoint, but for a ladder's."""
    steps_of = {"transfer": profile.transfer_at, "gradient": profile.probe_at}
    methods = [method for method, at in steps_of.items() if step in at]
    tasks = task_pairs(profile)["task"].unique()
    return probing_cells(source, tasks, profile.tunings_of(scale), methods)


def cell_files(profile: Profile | str) -> pd.DataFrame:
    """Where the store keeps the cells of a profile's sweep: each is a record of tables' rows.

    Returns:
        columns kind, scale, seed, step, task, tuning, file (its path in the store), stored (is it
        there); a row a cell of those models whose checkpoints are in the store.
    """
    profile = load_profile(profile) if isinstance(profile, str) else profile
    inputs, rows = keep_inputs(task_pairs(profile), corpus(profile).neutral()), []
    for scale, seed in ((scale, seed) for scale in profile.scales for seed in profile.seeds):
        for cell in _cells_of(profile, scale, training_folder(profile, scale, seed)):
            if Path(cell.source.model).is_dir():
                key, step = store.key_of(about_cell(cell, inputs)), int(cell.source.model[-6:])
                file = f"cells/{key[:2]}/{key}.json"
                tuning = " ".join(f"{name}={value}" for name, value in cell.tuning)
                rows.append((cell.kind, scale, seed, step, cell.task or "", tuning, file,
                             store.store_path(file).is_file()))  # fmt: skip
    columns = ["kind", "scale", "seed", "step", "task", "tuning", "file", "stored"]
    return pd.DataFrame(rows, columns=columns)


def _size(scale: str) -> int:
    """About how many parameters work on a token, for estimates of time."""
    from taskspace_utils.scales import load_scale

    row = load_scale(scale)
    return 12 * row.layers * row.width**2 + row.width * min(row.vocabulary, 500)


def _training_cost(profile: Profile, scale: str) -> float:
    from taskspace_utils.scales import load_scale

    row = load_scale(scale)
    tokens = row.batch * (10 if row.tokenizer == "word" else row.context)  # a step
    return 3.0 * _size(scale) * tokens * profile.steps


def _steps(profile: Profile) -> list[int]:
    """All steps that a checkpoint is kept of; accuracy is taken at each."""
    from taskspace_utils.pretraining import checkpoint_steps

    return sorted({*checkpoint_steps(profile.steps), *profile.probe_at, *profile.transfer_at})
