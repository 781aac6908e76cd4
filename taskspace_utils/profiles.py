"""Profiles: declared grids of models, tasks and steps, read from `data/profiles/` and checked.

Everything that can be wrong in a profile is found here, before anything runs; so this module
imports no torch.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

from taskspace_utils import store
from taskspace_utils.store import InputError
from taskspace_utils.yaml_files import read_yaml

# What a profile of models that others trained leaves out: no line is trained on, the fewest do.
OF_TRAINING = {"scales": [], "seeds": [], "steps": 0, "sentences": 10, "corpus_seed": 0}
LOSSES = ("differential", "good", "continuation", "critical")  # `ftgd.LOSSES`, without its torch


class Revision(NamedTuple):
    """A checkpoint of a model that others trained: where it is, and its keys in tables."""

    id: str
    name: str
    scale: str
    seed: int
    step: int

    @property
    def place(self) -> tuple[str, str | None]:
        """A folder; or an id of the hub and a revision."""
        folder = Path(self.id)
        return (str(folder / self.name), None) if folder.is_dir() else (self.id, self.name)


def step_of(revision: str) -> int:
    """The step that a revision's name ends with.

    Raises:
        InputError: it ends with none.
    """
    if not (found := re.search(r"(\d+)$", revision)):
        raise InputError(f"models: no step in revision {revision!r}; name one such as step512")
    return int(found[1])


@dataclass(frozen=True)
class Profile:
    """A declared grid; a file of `data/profiles/`.

    Attributes:
        language: "grammar" (ours) or "text" (`$TASKSPACES_DATA`: its corpus, and BLiMP).
        tasks: names of tasks; empty means all.
        pairs_per_task: half for training, half for evaluation.
        lexicon: "shared" (both halves draw from all words) or "disjoint" (no content word stands in
            both; the grammar only).
        sentences: of the grammar's corpus.
        steps: of pre-training.
        probe_at: steps at which gradient spaces are taken (accuracies: at every checkpoint).
        transfer_at: steps at which transfer spaces are taken.
        tunings: keyword arguments of `ftgd.Config`; with `scales`, for those scales only.
        ladder: scale, step, tasks and target (nats of train margin) of chapter 5's comparison of
            ways to teach; empty for none.
        couples: a pair and its opposite stay on one side of the split (chapter 13; the grammar
            only). The corpus is the one that is made without it, so the models are the same.
        without: constructions left out of the corpus; others fill their place (the grammar only).
        models: in place of scales, seeds and steps: models that others trained. Each has `id` (of
            the hub, or a folder) and `revisions` (of the hub, or folders in it) whose names end
            with the step, such as step512; and, if there are several trainings of it, `seed` (0 by
            default) and the `scale` that they have in common (by default the end of the id).
        chapters: parameters of chapters that differ from their defaults.
    """

    name: str
    language: str
    tasks: tuple[str, ...]
    pairs_per_task: int
    lexicon: str
    pair_seed: int
    sentences: int
    corpus_seed: int
    scales: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    probe_at: tuple[int, ...]
    transfer_at: tuple[int, ...]
    tunings: tuple[dict, ...]
    couples: bool = False
    without: tuple[str, ...] = ()
    ladder: dict = field(default_factory=dict)
    models: tuple[dict, ...] = ()
    chapters: dict = field(default_factory=dict)

    def __hash__(self) -> int:  # settings hold dictionaries, and caches need a hash
        return hash(store.key_of(asdict(self)))

    def suite(self) -> list[Revision]:
        """The checkpoints that `models` names."""
        return [
            Revision(
                model["id"], str(name), model.get("scale", Path(model["id"]).name),
                model.get("seed", 0), step_of(str(name)),
            )
            for model in self.models
            for name in model["revisions"]
        ]  # fmt: skip

    def tunings_of(self, *scales: str) -> list[dict]:
        """Keyword arguments of `ftgd.Config` for every tuning that is run on one of the scales."""
        return [
            {name: value for name, value in tuning.items() if name != "scales"}
            for tuning in self.tunings
            if set(scales) & set(tuning.get("scales", scales))
        ]


def load_profile(name: str) -> Profile:
    """The profile of this name.

    Raises:
        InputError: there is none, or its file has an unknown, missing or wrong setting.
    """
    folder = store.data_path("profiles")
    path = folder / f"{name}.yml"
    if Path(name).name != name or not path.is_file():
        names = ", ".join(sorted(p.stem for p in folder.glob("*.yml")))
        raise InputError(f"no profile named {name!r}; there are {names}")
    given = read_yaml(path, dict)
    known = [f.name for f in fields(Profile) if f.name != "name"]
    if wrong := set(given) - set(known):
        raise InputError(
            f"{path}: unknown setting {', '.join(map(repr, wrong))}; there are {', '.join(known)}"
        )
    optional = ("couples", "without", "ladder", "models", "chapters")
    if given.get("models"):
        given = OF_TRAINING | given
    if wrong := [name for name in known if name not in (*given, *optional)]:
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
    kinds = {"tasks": str, "scales": str, "seeds": int, "tunings": dict, "without": str}
    kinds["models"] = dict
    for name, kind in (kinds | {"probe_at": int, "transfer_at": int}).items():
        values = getattr(profile, name)
        if not isinstance(values, tuple) or not all(type(value) is kind for value in values):
            raise InputError(f"{name} must be a list, each of it a {kind.__name__}, not {values!r}")
    for name in ("tasks", "scales", "seeds"):
        if len(set(values := getattr(profile, name))) < len(values):
            raise InputError(f"{name} must name each one once, not {values!r}")
    if not all(0 <= seed < 2**32 for seed in profile.seeds):
        raise InputError(f"seeds must be from 0 to 2^32 - 1, not {profile.seeds!r}")
    if profile.models:
        _check_models(profile)
    elif not profile.scales or not profile.seeds:
        raise InputError("scales and seeds must each name one at least")
    if profile.language not in ("grammar", "text"):
        raise InputError(f"language must be grammar or text, not {profile.language!r}")
    if profile.lexicon not in ("shared", "disjoint"):
        raise InputError(f"lexicon must be shared or disjoint, not {profile.lexicon!r}")
    if type(profile.couples) is not bool:
        raise InputError(f"couples must be true or false, not {profile.couples!r}")
    if profile.language == "text" and profile.couples:
        raise InputError("real text is split as its files say; couples must be false")
    if profile.language == "text" and profile.lexicon == "disjoint":
        raise InputError("real text has no lexicon to divide; lexicon must be shared")
    if profile.sentences < (10 if profile.language == "grammar" else 0):
        raise InputError(f"sentences is {profile.sentences}; the grammar's corpus needs 10")
    if not isinstance(profile.chapters, dict) or not all(
        isinstance(settings, dict) for settings in profile.chapters.values()
    ):
        raise InputError("chapters must be a mapping of chapters to their parameters")
    if profile.language == "text" and profile.without:
        raise InputError("real text has no constructions to leave out; without must be empty")
    if profile.steps < (not profile.models) or profile.pairs_per_task < 4:
        raise InputError("steps must be at least 1, and pairs_per_task at least 4")
    there = {one.step for one in profile.suite()}
    for name in ("probe_at", "transfer_at"):
        for step in getattr(profile, name):
            if profile.models and step not in there:
                raise InputError(f"{name}: no revision of models is of step {step}")
            if not profile.models and not 0 <= step <= profile.steps:
                raise InputError(
                    f"{name}: step {step} is outside the training of {profile.steps} steps"
                )
    for tuning in profile.tunings:
        if not isinstance(tuning.get("scales", []), list):
            raise InputError(f"tuning {tuning}: scales must be a list of names")
        if unknown := set(map(str, tuning.get("scales", ()))) - set(scales_of(profile)):
            raise InputError(f"tuning {tuning}: the profile has no scale {', '.join(unknown)}")
    for tuning in profile.tunings_of(*scales_of(profile)):
        if not set(tuning) <= {"loss", "k", "target", "delta", "max_steps", "max_displacement"}:
            raise InputError(f"tuning {tuning} has an unknown setting")
        if tuning.get("loss", "differential") not in LOSSES:
            raise InputError(f"tuning {tuning}: loss must be one of {', '.join(LOSSES)}")
        for name in set(tuning) - {"loss"}:
            value, kinds = tuning[name], (int,) if name == "max_steps" else (int, float)
            if type(value) not in kinds or not 0 < value < float("inf"):
                what = "whole number" if name == "max_steps" else "number"
                raise InputError(f"tuning {tuning}: {name} must be a {what} above 0")
        if not 0 < tuning.get("k", 1) <= 1 or not 0.1 < tuning.get("target", 3) < float("inf"):
            raise InputError(f"tuning {tuning}: k is above 0 and at most 1, target above 0.1 nats")
    if profile.ladder:
        _check_ladder(profile)
    named = [
        (
            tuning.get("loss", LOSSES[0]),
            f"{tuning.get('k', 0.01):g}",
            f"{tuning.get('target', 3):g}",
        )
        for tuning in profile.tunings  # as `ftgd.Config.id` has them
    ]
    if len(set(named)) < len(named):
        raise InputError(
            "two tunings have the same loss, k and target: tables can't tell them apart"
        )


def scales_of(profile: Profile) -> list[str]:
    """Names of all scales, of our own models or of others'."""
    return list(dict.fromkeys([*profile.scales, *(one.scale for one in profile.suite())]))


def _check_models(profile: Profile) -> None:
    if profile.scales or profile.seeds or profile.steps or profile.ladder or profile.without:
        raise InputError("models stand in place of scales, seeds, steps, ladder and without")
    for model in profile.models:
        if not {"id", "revisions"} <= set(model) <= {"id", "revisions", "seed", "scale"}:
            raise InputError(
                f"models: {model} must have id and revisions; seed and scale may stand"
            )
        names = model["revisions"]
        if not isinstance(names, list) or not names or len(set(map(str, names))) < len(names):
            raise InputError(f"models: revisions must be a list, each named once, not {names!r}")
        if not isinstance(model["id"], str) or not isinstance(model.get("scale", ""), str):
            raise InputError(f"models: {model}: id and scale are names")
        if type(model.get("seed", 0)) is not int or model.get("seed", 0) < 0:
            raise InputError(f"models: {model}: seed must be a whole number from 0")
    keys = [one[2:] for one in profile.suite()]  # tables tell checkpoints apart by them
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise InputError(
            "models: two have the same scale, seed and step: {}, {}, {}; give each a scale or "
            "seed of its own".format(*twice[0])
        )


def _check_ladder(profile: Profile) -> None:
    asked = profile.ladder
    if not isinstance(asked, dict) or set(asked) != {"scale", "step", "tasks", "target"}:
        raise InputError(f"ladder must have scale, step, tasks and target, not {asked!r}")
    if asked["scale"] not in profile.scales:
        raise InputError(f"ladder: scale {asked['scale']!r} is none of {profile.scales}")
    if asked["step"] not in (*profile.probe_at, *profile.transfer_at):
        raise InputError(f"ladder: step {asked['step']!r} is in neither probe_at nor transfer_at")
    tasks = asked["tasks"]
    if not isinstance(tasks, list) or not tasks or not all(type(t) is str for t in tasks):
        raise InputError(f"ladder: tasks must be a list of names, not {tasks!r}")
    if unknown := sorted(set(tasks) - set(profile.tasks or tasks)):
        raise InputError(f"ladder: the profile has no task {', '.join(unknown)}")
    if type(asked["target"]) not in (int, float) or not 0.1 < asked["target"] < float("inf"):
        raise InputError(f"ladder: target is in nats, above 0.1, not {asked['target']!r}")


def data_folder(*parts: str) -> Path | None:
    """A path inside the folder that `TASKSPACES_DATA` names; None where it isn't set or there."""
    root = os.environ.get("TASKSPACES_DATA")
    path = Path(root).joinpath(*parts) if root else None
    return path if path is not None and path.exists() else None


def required_data(*parts: str) -> Path:
    """As `data_folder`, where it must be there.

    Raises:
        InputError: it is not.
    """
    path = data_folder(*parts)
    if path is None:
        raise InputError(
            f"this needs {'/'.join(parts)} in the folder that TASKSPACES_DATA names "
            f"(now {os.environ.get('TASKSPACES_DATA', 'not set')!r}); see README, Real data"
        )
    return path


def sweep_key(profile: Profile) -> str:
    """What a sweep's numbers depend on, found out without computing any."""
    settings = {k: v for k, v in vars(profile).items() if k not in ("name", "chapters")}
    for name in ("couples", "without", "models"):
        if not settings[name]:
            del settings[name]  # what is run without it keeps its name in the store
    if profile.couples:
        settings["couples"] = store.code_version("sample_size")
    if not profile.ladder:
        del settings["ladder"]
    else:
        settings["ladder"] = profile.ladder | {"code": store.code_version("ladder")}
    inputs = {
        "scales": store.file_hash(store.data_path("scales.yml")),
        "data": data_key(profile.language),
    }
    return store.key_of(
        {"profile": settings, "inputs": inputs}
        | {"method": store.method_version(), **store.versions(), **store.hardware()}
    )


def data_key(language: str) -> str:
    """Stands for the files that pairs and corpora of a language ("grammar", "text") are made of.

    Raises:
        InputError: the real text is not there.
    """
    files = [*store.data_path("grammar").glob("*.yml")]
    if language == "text":
        files += [p for part in ("corpus", "blimp/data") for p in required_data(part).iterdir()]
    return store.tree_hash(p for p in files if p.is_file())
