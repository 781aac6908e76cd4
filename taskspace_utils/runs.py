"""Runs: profiles, the grid of cells, and what is stored of them.

A cell is one piece of work with one result: a training, a model's scores, a gradient space, a row
of a transfer space. Each result is one file in the store, written whole, named by a key over all
that it depends on; what is there is not computed again. This module imports no torch at its top,
so that parameters are checked, and an unchanged book is recognised, in a moment.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import pandas as pd
import yaml

from taskspace_utils import store
from taskspace_utils.store import InputError, Run

METHODS = ("transfer", "gradient")


# ----------------------------------------------------------------------------------------- profiles


@dataclass(frozen=True)
class Profile:
    """A declared grid; a file of `data/profiles/`.

    Attributes:
        language: "grammar" (ours) or "text" (`$TASKSPACES_DATA`: its corpus, and BLiMP).
        tasks: names of tasks; empty means all.
        pairs_per_task: half for training, half for evaluation.
        sentences: of the grammar's corpus.
        steps: of pre-training.
        probe_at: steps at which gradient spaces are taken (accuracies: at every checkpoint).
        transfer_at: steps at which transfer spaces are taken.
        tunings: keyword arguments of `ftgd.Config`.
        chapters: parameters of chapters that differ from their defaults.
    """

    name: str
    language: str
    tasks: tuple[str, ...]
    pairs_per_task: int
    pair_seed: int
    sentences: int
    corpus_seed: int
    scales: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    probe_at: tuple[int, ...]
    transfer_at: tuple[int, ...]
    tunings: tuple[dict, ...]
    chapters: dict = field(default_factory=dict)

    def __hash__(self) -> int:  # settings hold dictionaries, and caches need a hash
        return hash(store.key_of(asdict(self)))


def load_profile(name: str) -> Profile:
    """The profile of this name.

    Raises:
        InputError: there is none, or its file has an unknown, missing or wrong setting.
    """
    folder = store.data_path("profiles")
    path = folder / f"{name}.yml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in folder.glob("*.yml")))
        raise InputError(f"no profile named {name!r}; there are {names}")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not YAML in UTF-8: {error}") from error
    known = [f.name for f in fields(Profile) if f.name != "name"]
    if not isinstance(given, dict):
        raise InputError(f"{path}: it must hold the settings {', '.join(known)}")
    if wrong := set(given) - set(known):
        raise InputError(
            f"{path}: unknown setting {', '.join(map(repr, wrong))}; there are {', '.join(known)}"
        )
    if wrong := [name for name in known if name not in given and name != "chapters"]:
        raise InputError(f"{path}: missing setting: {', '.join(wrong)}")
    if given["tasks"] == "all":
        given["tasks"] = []
    try:
        profile = Profile(
            name, **{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        )
        _check_profile(profile)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    return profile


def _check_profile(profile: Profile) -> None:
    for name in ("pairs_per_task", "pair_seed", "sentences", "corpus_seed", "steps"):
        if type(getattr(profile, name)) is not int:
            raise InputError(f"{name} must be a whole number, not {getattr(profile, name)!r}")
    kinds = {"tasks": str, "scales": str, "seeds": int, "tunings": dict}
    for name, kind in (kinds | {"probe_at": int, "transfer_at": int}).items():
        values = getattr(profile, name)
        if not isinstance(values, tuple) or not all(type(value) is kind for value in values):
            raise InputError(f"{name} must be a list, each of it a {kind.__name__}, not {values!r}")
    if not profile.scales or not profile.seeds:
        raise InputError("scales and seeds must each name one at least")
    if profile.language not in ("grammar", "text"):
        raise InputError(f"language must be grammar or text, not {profile.language!r}")
    if profile.steps < 1 or profile.pairs_per_task < 4:
        raise InputError("steps must be at least 1, and pairs_per_task at least 4")
    for step in (*profile.probe_at, *profile.transfer_at):
        if not 0 <= step <= profile.steps:
            raise InputError(f"step {step} is outside the training of {profile.steps} steps")
    for tuning in profile.tunings:
        if not set(tuning) <= {"loss", "k", "target", "delta", "max_steps", "max_displacement"}:
            raise InputError(f"tuning {tuning} has an unknown setting")
        if tuning.get("loss", "differential") not in ("differential", "good"):
            raise InputError(f"tuning {tuning}: loss must be differential or good")
        if not 0 < tuning.get("k", 1) <= 1 or not 0.1 < tuning.get("target", 3) < float("inf"):
            raise InputError(f"tuning {tuning}: k is above 0 and at most 1, target above 0.1 nats")
    named = [tuple(tuning.get(n) for n in ("loss", "k", "target")) for tuning in profile.tunings]
    if len(set(named)) < len(named):
        raise InputError(
            "two tunings have the same loss, k and target: tables can't tell them apart"
        )


# --------------------------------------------------------------------------- pairs, corpora, models


def data_folder(*parts: str) -> Path | None:
    """A path inside the folder that `TASKSPACES_DATA` names; None where it isn't set or there."""
    root = os.environ.get("TASKSPACES_DATA")
    path = Path(root).joinpath(*parts) if root else None
    return path if path is not None and path.exists() else None


def _required_data(*parts: str) -> Path:
    path = data_folder(*parts)
    if path is None:
        raise InputError(
            f"this needs {'/'.join(parts)} in the folder that TASKSPACES_DATA names "
            f"(now {os.environ.get('TASKSPACES_DATA', 'not set')!r}); see README, Real data"
        )
    return path


@functools.cache
def task_pairs(profile: Profile | str) -> pd.DataFrame:
    """The profile's pairs, `split` filled. Do not change the table: it is shared."""
    from taskspace_utils.grammar import load_grammar
    from taskspace_utils.pairs import read_pairs, split_pairs

    profile = load_profile(profile) if isinstance(profile, str) else profile
    if profile.language == "text":
        pairs = read_pairs(_required_data("blimp", "data"))
        if missing := set(profile.tasks) - set(pairs["task"]):
            raise InputError(f"no task {', '.join(sorted(missing))} among the pairs")
        pairs = pairs[pairs["task"].isin(profile.tasks)] if profile.tasks else pairs
    else:
        grammar = load_grammar()
        pairs = grammar.pairs(profile.pairs_per_task, profile.pair_seed, profile.tasks or None)
    return split_pairs(pairs, profile.pairs_per_task, profile.pair_seed)


@functools.cache
def corpus(profile: Profile | str):
    """The profile's corpus (`pretraining.Corpus`); of the grammar, no pair's sentence is in it."""
    from taskspace_utils.grammar import load_grammar
    from taskspace_utils.pretraining import HELD_OUT_LINES, Corpus, read_corpus

    profile = load_profile(profile) if isinstance(profile, str) else profile
    if profile.language == "text":
        return read_corpus(_required_data("corpus"))
    grammar = load_grammar()
    pairs = task_pairs(profile)
    shown = {*pairs["good"], *pairs["bad"]}
    train = grammar.corpus(profile.sentences, profile.corpus_seed, exclude=shown)
    seen = shown | set(train)
    held_out = grammar.corpus(HELD_OUT_LINES, profile.corpus_seed + 1, exclude=seen)
    return Corpus(train, {"held-out": held_out}, tuple(grammar.vocabulary()))


def training_folder(profile: Profile, scale: str, seed: int) -> Path:
    """Where the store keeps this training's checkpoints."""
    from taskspace_utils.models import load_scale

    key = store.key_of(
        {"scale": vars(load_scale(scale)), "seed": seed, "corpus": corpus(profile).key}
        | {"words": corpus(profile).words, "method": store.method_version(), **store.versions()}
    )
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
    if not (folder / "config.json").is_file():
        _train(profile, scale, seed)
    if not (folder / "config.json").is_file():
        kept = sorted(int(p.name[5:]) for p in folder.parent.glob("step-*"))
        raise InputError(f"no checkpoint at step {step}; there are {', '.join(map(str, kept))}")
    return load_model(folder)


def _train(profile: Profile, scale: str, seed: int) -> Path:
    import torch

    from taskspace_utils.models import load_scale
    from taskspace_utils.pretraining import pretrain

    torch.set_num_threads(1)
    folder = training_folder(profile, scale, seed)
    extra = (*profile.probe_at, *profile.transfer_at)
    return pretrain(load_scale(scale), corpus(profile), profile.steps, seed, folder, extra)


# -------------------------------------------------------------------------------------------- cells


@dataclass(frozen=True)
class Source:
    """Where a model comes from, so that a worker process can load it for itself."""

    model: str
    revision: str | None = None
    bos: str = "auto"


@dataclass(frozen=True)
class Cell:
    """One piece of probing: `kind` is accuracy, gradient or transfer."""

    kind: str
    source: Source
    task: str = ""
    tuning: tuple = ()  # items of ftgd.Config
    k: float = 0.01


@functools.lru_cache(maxsize=2)
def _loaded(source: Source):
    import torch

    from taskspace_utils.models import load_model

    torch.set_num_threads(1)  # with more, sums are added up in another order
    return load_model(source.model, source.revision, source.bos)


def run_cell(cell: Cell, pairs: pd.DataFrame, text: tuple[str, ...], key: str) -> dict:
    """The result of a cell, from the store if it is there, else computed and stored.

    Returns:
        Tables by name, as lists of rows; keyed by the model.
    """
    path = store.store_path("cells", key[:2], f"{key}.json")
    if path.is_file():
        return json.loads(path.read_text())
    found = _compute(cell, pairs, text)
    plain = {name: table.to_dict("records") for name, table in found.items()}
    store.write_atomic(path, json.dumps(plain))
    return json.loads(path.read_text())  # the same as a later reading gives, to the last digit


def _compute(cell: Cell, pairs: pd.DataFrame, text: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    from taskspace_utils import ftgd, probing, scoring

    lm = _loaded(cell.source)
    if cell.kind == "accuracy":
        tables = {"accuracy": scoring.score(lm, pairs)[0]}
    elif cell.kind == "gradient":
        space, facts = probing.gradient_space(lm, pairs, cell.k)
        tables = {"gradient": space, "tasks": facts}
    else:
        neutral = probing.neutral_text(lm, list(text)) if text else None
        config = ftgd.Config(**dict(cell.tuning))
        before = _margins_before(
            cell.source, store.text_key([*pairs["good"], *pairs["bad"], *pairs["split"]]), pairs
        )
        row, summary = probing.transfer_row(lm, pairs, cell.task, config, neutral, before)
        tables = {"transfer": row, "tuning": pd.DataFrame([summary])}
    return {name: store.model_columns(table, **lm.keys) for name, table in tables.items()}


_BEFORE: dict = {}


def _margins_before(source: Source, key: str, pairs: pd.DataFrame):
    """Margins of the eval pairs before tuning: the same for all rows that a process works on."""
    from taskspace_utils.scoring import margins

    if (source, key) not in _BEFORE:
        _BEFORE.clear()
        _BEFORE[source, key] = margins(_loaded(source), pairs[pairs["split"] == "eval"])
    return _BEFORE[source, key]


def run_cells(
    cells: Iterable[Cell], pairs: pd.DataFrame, text: tuple[str, ...], workers: int | None = None
) -> dict[str, pd.DataFrame]:
    """All cells' tables, those of one name put together; progress on standard error."""
    cells = list(cells)
    weights = {c.source: _weights_key(c.source) for c in cells}
    shared = {
        "pairs": store.text_key(map(repr, pairs.itertuples(index=False))),
        "method": store.method_version(),
        **store.versions(),
    }
    keys = [
        store.key_of(
            {**shared, **asdict(c), "source": weights[c.source], "bos": c.source.bos}
            | {"text": store.text_key(text) if c.kind == "transfer" else ""}
        )
        for c in cells
    ]
    found: dict[str, list] = {}
    results = parallel(
        run_cell,
        [(c, pairs, text, key) for c, key in zip(cells, keys, strict=True)],
        "cell",
        workers,
    )
    for tables in results:
        for name, rows in tables.items():
            found.setdefault(name, []).extend(rows)
    return {
        name: pd.DataFrame(rows, columns=[*store.TABLES[name][0], *store.TABLES[name][1]])
        for name, rows in found.items()
    }


def _weights_key(source: Source) -> str:
    folder = Path(source.model)
    if folder.is_dir():
        return store.tree_hash(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json"))
    return f"{source.model}@{source.revision}"


def parallel(
    function: Callable, arguments: list[tuple], what: str, workers: int | None = None
) -> list:
    """Results of a function over arguments, in their order; a process a core, one thread each.

    An `InputError` of one ends all; what is finished is in the store.
    """
    from joblib import Parallel, delayed

    workers = min(workers or os.cpu_count() or 1, max(1, len(arguments)))
    began, found, said = time.monotonic(), [], 0.0
    # A worker that held a large space is replaced by a fresh one; joblib warns of it as of a leak.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", module="joblib")
    stream = Parallel(n_jobs=workers, return_as="generator", batch_size=1)(
        delayed(function)(*a) for a in arguments
    )
    for number, result in enumerate(stream, start=1):
        found.append(result)
        seconds = time.monotonic() - began
        if seconds - said > 10 or (number == len(arguments) and seconds > 2):
            said = seconds
            left = seconds / number * (len(arguments) - number)
            said_of = f"  {what} {number} of {len(arguments)}"
            store.say(f"{said_of}, {seconds:.0f} s, about {left:.0f} s left")
    return found


# -------------------------------------------------------------------------------- sweeps and probes


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


def assemble(
    out: Path, cells: list[Cell], pairs: pd.DataFrame, text: tuple[str, ...], about: dict,
    training: pd.DataFrame | None = None, workers: int | None = None,
) -> Run:  # fmt: skip
    """Run cells and write the run folder: tables, then the manifest."""
    from taskspace_utils.hypotheses import lexical_diff

    began = time.monotonic()
    tables = run_cells(cells, pairs, text, workers)
    tunings = {c.tuning for c in cells if c.tuning}
    if tunings:
        tables["configs"] = _configs(tunings, about)
    if training is not None:
        tables["training"] = training
    tables["lexical"] = lexical_diff(pairs)
    manifest = {
        **about,
        "tasks": sorted(pairs["task"].unique()),
        "pairs": store.text_key(map(repr, pairs.itertuples(index=False))),
        "method": store.method_version(),
        "versions": store.versions(),
        "device": "cpu",
        "machine": platform.machine(),
        "threads": 1,
        "seconds": round(time.monotonic() - began, 1),
    }
    return store.write_run(out, tables, manifest)


def _configs(tunings: set[tuple], about: dict) -> pd.DataFrame:
    from taskspace_utils.ftgd import Config

    rows = []
    for config in (Config(**dict(t)) for t in sorted(tunings)):
        rows.append(
            {
                "tuning": config.id,
                "loss": config.loss,
                "optimiser": "gradient descent, full batch",
                "step_rule": f"gain {config.delta:g} nats, at most {config.max_steps} steps",
                "mask": "none" if config.k >= 1 else "top k of |g|",
                "k": config.k,
                "target": config.target,
                "pair_seed": about["pair_seed"],
                "tune_seed": "",  # a full batch leaves nothing to chance
            }
        )
    return pd.DataFrame(rows)


def sweep(profile: Profile | str, out: str | Path | None = None, workers: int | None = None) -> Run:
    """Train and probe all of a profile's grid; what the store has is not done again.

    Args:
        out: the run folder; in the store by default.
    """
    profile = load_profile(profile) if isinstance(profile, str) else profile
    key = _sweep_key(profile)
    folder = Path(out) if out else store.store_path("runs", f"{profile.name}-{key}")
    if (folder / "manifest.json").is_file() and Run(folder).manifest.get("key") == key:
        return Run(folder)
    store.new_folder(folder, "manifest.json")  # refuse a wrong folder before hours of work
    models = [(scale, seed) for scale in reversed(profile.scales) for seed in profile.seeds]
    store.say(f"profile {profile.name}: training {len(models)} models")
    corpus(profile)
    folders = parallel(_train, [(profile, *model) for model in models], "model", workers)
    cells = []
    steps_of = {"transfer": profile.transfer_at, "gradient": profile.probe_at}
    for path in folders:
        for step in _steps(profile):
            source = Source(str(path / _step_name(step)))
            methods = [m for m, at in steps_of.items() if step in at]
            tasks = task_pairs(profile)["task"].unique()
            cells += probing_cells(source, tasks, profile.tunings, methods)
    cells.sort(key=lambda c: c.kind == "accuracy")  # the longest first: no core waits at the end
    store.say(f"profile {profile.name}: probing, {len(cells)} cells")
    logs = [
        store.model_columns(
            log.drop(columns="step"), f"{scale}-seed{seed}", scale, seed, log["step"]
        )
        for (scale, seed), path in zip(models, folders, strict=True)
        for log in [store.read_table(path / "training.csv")]
    ]
    about = {"key": key, "profile": profile.name, "pair_seed": profile.pair_seed} | {
        "parameters": {k: v for k, v in vars(profile).items() if k != "chapters"},
        "bos": "bos",
        "harm_text": ", ".join(corpus(profile).held_out),
    }
    text = corpus(profile).neutral()
    return assemble(folder, cells, task_pairs(profile), text, about, pd.concat(logs), workers)


def _step_name(step: int) -> str:
    from taskspace_utils.pretraining import checkpoint_name

    return checkpoint_name(step)


def _steps(profile: Profile) -> list[int]:
    """All steps that a checkpoint is kept of; accuracy is taken at each."""
    from taskspace_utils.pretraining import checkpoint_steps

    return sorted({*checkpoint_steps(profile.steps), *profile.probe_at, *profile.transfer_at})


def _sweep_key(profile: Profile) -> str:
    """What a sweep's numbers depend on, found out without computing any."""
    settings = {k: v for k, v in vars(profile).items() if k not in ("name", "chapters")}
    inputs = [*store.data_path("grammar").glob("*.yml"), store.data_path("scales.yml")]
    if profile.language == "text":
        inputs += [p for part in ("corpus", "blimp/data") for p in _required_data(part).iterdir()]
    return store.key_of(
        {"profile": settings, "inputs": store.tree_hash(p for p in inputs if p.is_file())}
        | {"method": store.method_version(), **store.versions()}
    )


def probe(
    source: Source,
    pairs: pd.DataFrame,
    out: str | Path,
    methods: Iterable[str] = METHODS,
    tunings: Iterable[dict] = ({"k": 0.01}, {"k": 1.0}),
    text: tuple[str, ...] = (),
    about: dict | None = None,
    workers: int | None = None,
) -> Run:
    """Probe one model with any pairs whose `split` is filled; a broken-off run goes on.

    Args:
        text: lines of neutral text on which harm is measured; empty for none.
        about: what else the manifest should say, `pair_seed` at least.
    """
    store.new_folder(out, "manifest.json")
    lm = _loaded(source)
    about = {"model": lm.name, "weights": lm.weights, "bos": lm.bos} | (about or {"pair_seed": 0})
    cells = probing_cells(source, pairs["task"].unique(), list(tunings), list(methods))
    cells.sort(key=lambda c: c.kind == "accuracy")
    store.say(f"probing {lm.name}: {pairs['task'].nunique()} tasks, {len(cells)} cells")
    return assemble(Path(out), cells, pairs, text, about, workers=workers)


def plan(source: Source, pairs: pd.DataFrame, methods: Iterable[str], tunings: int) -> str:
    """What a probe would take, from the sizes and one timed pass; runs nothing else."""
    from taskspace_utils.ftgd import parameters
    from taskspace_utils.scoring import CHUNK_TOKENS, chunks, sequence_log_probabilities

    lm = _loaded(source)
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
