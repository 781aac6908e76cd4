"""Preflight: what a sweep would lack is found before it begins, and named by its setting.

What is wrong in a profile's file itself is found by `profiles`. Here are the things outside it:
scales and tasks that aren't there, a hub that can't be reached, memory, disk. Estimates are rough
and lenient: they are to stop what cannot go well, not what may be tight.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from taskspace_utils import jobs, store
from taskspace_utils.profiles import Profile, Revision
from taskspace_utils.store import InputError

PROCESS = 0.35e9  # bytes of a worker without a model: torch and transformers
COPIES = 5  # of the weights at the widest place: training has them, gradients and two moments
HALF_WIDTH_ABOVE = 1e8  # parameters; as `gradients` has it


def check(profile: Profile, tasks: int, workers: int | None, cluster: bool = False) -> None:
    """Find out what a sweep would lack.

    Args:
        tasks: how many; `runs.task_pairs` knows.
        workers: processes of this machine; None for one a core.
        cluster: other machines do the work, whose memory isn't known here.

    Raises:
        InputError: what is lacking, the setting that asks for it, and what to do.
    """
    sizes = {f"scale {scale}": parameters_of(scale) for scale in profile.scales}
    for one in profile.suite():
        sizes[f"model {one.id}"] = reachable(one)
    name, size = max(sizes.items(), key=lambda item: item[1])
    trainings = len(profile.seeds) * sum(map(parameters_of, profile.scales))
    device = store.hardware()["device"]
    workers = workers or jobs.cores()
    if not cluster and device == "cpu":
        _check_memory(name, size, workers)
    rows = 2 * tasks * (2 if size > HALF_WIDTH_ABOVE else 4) if profile.probe_at else 0
    steps = len({*profile.probe_at, *profile.transfer_at}) + 2
    _check_disk(name, size * rows, 4.0 * trainings * steps)


def parameters_of(scale: str) -> int:
    """How many parameters a scale has at most, embeddings included.

    Raises:
        InputError: there is no such scale.
    """
    from taskspace_utils.scales import load_scale

    try:
        row = load_scale(scale)
    except InputError as error:
        raise InputError(f"scales: {error}") from error
    return 12 * row.layers * row.width**2 + (row.vocabulary + row.context) * row.width


def reachable(one: Revision) -> int:
    """How many parameters a model has that others trained; only its configuration is fetched.

    Raises:
        InputError: the hub doesn't give it, or there is no such folder.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    place, revision = one.place
    options = {} if revision is None else {"revision": revision}
    try:
        if revision is None and not Path(place).is_dir():
            raise OSError("there is no such folder")
        config = AutoConfig.from_pretrained(place, trust_remote_code=False, **options)
        with torch.device("meta"):  # shapes without weights
            model = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"models: {one.id} at revision {one.name} is not to be had: {reason} Mend its name, or "
            "the network (HF_HOME names a folder with what was fetched before)"
        ) from error
    return sum(p.numel() for p in model.parameters())


def memory() -> float | None:
    """Bytes that this machine, or the share of it we are given, has; None where unknown."""
    try:
        found = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return None
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found = min(found, float(Path(path).read_text()))
        except (OSError, ValueError):  # no such file, or it says max
            continue
    return found


def _check_memory(name: str, size: int, workers: int) -> None:
    needed, there = PROCESS + COPIES * 4.0 * size, memory()
    if there is None or needed * workers <= there:
        return
    fitting = int(there / needed)
    advice = f"take --workers {fitting}" if fitting else "choose smaller scales"
    raise InputError(
        f"scales and --workers: {workers} processes with {name} ({size / 1e6:.1f} million "
        f"parameters) take about {needed * workers / 1e9:.1f} GB, and this machine has "
        f"{there / 1e9:.1f} GB: {advice}"
    )


def _check_disk(name: str, gradients: float, checkpoints: float) -> None:
    folder = store.store_path()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if gradients + checkpoints > free:
        raise InputError(
            f"scales and probe_at: gradients of all tasks of {name} take {gradients / 1e9:.1f} GB "
            f"for a while, checkpoints up to {checkpoints / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
            "are free: make room, or name another disk with TASKSPACES_STORE"
        )
