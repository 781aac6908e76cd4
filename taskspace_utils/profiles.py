"""Profiles: declared grids of models, tasks and steps, read from `data/profiles/` and checked.

Everything that can be wrong in a profile is found here, before anything runs; so this module
imports no torch.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from taskspace_utils import store
from taskspace_utils.store import InputError
from taskspace_utils.yaml_files import read_yaml

LOSSES = ("differential", "good", "continuation", "critical")  # `ftgd.LOSSES`, without its torch


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
        without: constructions left out of the corpus; others fill their place (the grammar only).
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
    without: tuple[str, ...] = ()
    ladder: dict = field(default_factory=dict)
    chapters: dict = field(default_factory=dict)

    def __hash__(self) -> int:  # settings hold dictionaries, and caches need a hash
        return hash(store.key_of(asdict(self)))

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
    if wrong := [name for name in known if name not in (*given, "without", "ladder", "chapters")]:
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
    for name, kind in (kinds | {"probe_at": int, "transfer_at": int}).items():
        values = getattr(profile, name)
        if not isinstance(values, tuple) or not all(type(value) is kind for value in values):
            raise InputError(f"{name} must be a list, each of it a {kind.__name__}, not {values!r}")
    for name in ("tasks", "scales", "seeds"):
        if len(set(values := getattr(profile, name))) < len(values):
            raise InputError(f"{name} must name each one once, not {values!r}")
    if not all(0 <= seed < 2**32 for seed in profile.seeds):
        raise InputError(f"seeds must be from 0 to 2^32 - 1, not {profile.seeds!r}")
    if not profile.scales or not profile.seeds:
        raise InputError("scales and seeds must each name one at least")
    if profile.language not in ("grammar", "text"):
        raise InputError(f"language must be grammar or text, not {profile.language!r}")
    if profile.lexicon not in ("shared", "disjoint"):
        raise InputError(f"lexicon must be shared or disjoint, not {profile.lexicon!r}")
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
    if profile.steps < 1 or profile.pairs_per_task < 4:
        raise InputError("steps must be at least 1, and pairs_per_task at least 4")
    for step in (*profile.probe_at, *profile.transfer_at):
        if not 0 <= step <= profile.steps:
            raise InputError(f"step {step} is outside the training of {profile.steps} steps")
    for tuning in profile.tunings:
        if not isinstance(tuning.get("scales", []), list):
            raise InputError(f"tuning {tuning}: scales must be a list of names")
        if unknown := set(map(str, tuning.get("scales", ()))) - set(profile.scales):
            raise InputError(f"tuning {tuning}: the profile has no scale {', '.join(unknown)}")
    for tuning in profile.tunings_of(*profile.scales):
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
    if not profile.without:
        del settings["without"]  # what is run without it keeps its name in the store
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
