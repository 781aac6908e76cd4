"""Trainings: models of our own in the store, each trained once and checked before it is used.

The checksums of a checkpoint's files are noted when it is written. One that is torn or was tampered
with is said and trained again. One process at a time trains a model; another one that needs it
waits, and then finds it.
"""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from taskspace_utils import records, store

STATE = "state"  # where `pretrain` keeps what it takes to go on


def train(folder: Path, scale, corpus, steps: int, seed: int, also_at=(), about=None) -> Path:
    """Train a model into a folder of the store, or what is missing of it; see `pretrain`.

    Args:
        about: what the folder's key was made of, to be noted beside the checksums.
    """
    from safetensors import SafetensorError

    from taskspace_utils import pretraining
    from taskspace_utils.models import chosen_hardware

    def kept(text: str) -> None:  # called when a checkpoint has just been written
        records.write_sums(folder, about or {}, but=STATE)
        store.say(text)

    with store.locked(folder.name):
        mend(folder)
        try:
            device = chosen_hardware()[0]
            pretraining.pretrain(scale, corpus, steps, seed, folder, also_at, kept, device)
        except SafetensorError as error:  # it hides that the system said no, to a full disk say
            raise OSError(errno.EIO, str(error), str(folder)) from error
        shutil.rmtree(folder / STATE, ignore_errors=True)
        records.write_sums(folder, about or {}, but=STATE)
    return folder


def made_of(scale: str, corpus, seed: int) -> dict:
    """What decides a training, but for its length: the key of its folder is made of this.

    Args:
        scale: of `data/scales.yml`.
        corpus: a `pretraining.Corpus`.

    Raises:
        InputError: there is no such scale.
    """
    from taskspace_utils.cells import present_code
    from taskspace_utils.scales import load_scale

    about = {"scale": vars(load_scale(scale)), "seed": seed, "corpus": corpus.key}
    return about | store.hardware() | present_code("training")


def kept(name: str, corpus, scale: str, steps: int, seed: int) -> Path:
    """The checkpoints of a model of any text, which is trained when it is first asked for.

    `runs.checkpoint` does this for the texts of profiles.

    Args:
        name: how the folder's name begins; what the model is depends on the others alone.
        corpus: a `pretraining.Corpus`.
        scale: of `data/scales.yml`.

    Raises:
        InputError: there is no such scale, or the text doesn't suit it.
    """
    import torch

    from taskspace_utils.scales import load_scale

    torch.set_num_threads(1)  # with more, sums are added up in another order
    about = made_of(scale, corpus, seed)
    folder = store.store_path("models", f"{name}-seed{seed}-{store.key_of(about)}")
    return train(folder, load_scale(scale), corpus, steps, seed, about=about)


def sound(folder: Path) -> bool:
    """Is a checkpoint there, and as it was written?"""
    return (folder / "config.json").is_file() and not records.changed(folder.parent, folder.name)


def mend(folder: Path) -> None:
    """Remove what is left of a crash and, saying so, what is not as it was written.

    Of a checkpoint all goes; where the list of checksums is broken, or the note of what the
    training is, the whole training. Only for the process that holds the folder's lock.
    """
    for path in store.leftovers(folder):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    bad = records.changed(folder)
    for name in bad:
        store.say(f"{folder / name}: not as it was written; it is made again")
    parts = {name.split("/")[0] for name in bad}
    if parts & {records.SUMS, "training.json"}:
        shutil.rmtree(folder)
    elif parts:
        records.forget(folder, parts)
    if _torn(folder / STATE / "state.safetensors"):
        store.say(f"{folder / STATE}: torn; the training starts again")
        shutil.rmtree(folder / STATE)


def _torn(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return False
    try:
        with safe_open(path, "numpy"):
            return False
    except SafetensorError:
        return True
