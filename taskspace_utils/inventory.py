"""Inventory: what the store holds, whether it is as it was written, and what nobody can use now.

Everything is known by its name and its place: what has another shape is the reader's, and is never
removed. What is young may be another process's, which is just writing it, and stays too.
"""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from taskspace_utils import records, store
from taskspace_utils.cells import present_code
from taskspace_utils.profiles import Profile, data_key, load_profile, sweep_key
from taskspace_utils.store import InputError
from taskspace_utils.tables import Run

DAY = 24 * 3600
KEY = r"[0-9a-f]{16}"
SHAPES = {  # of what is ours, by its path in the store
    "model": rf"models/.+-seed\d+-{KEY}",
    "cell": rf"cells/[0-9a-f]{{2}}/{KEY}\.json",
    "inputs": rf"inputs/{KEY}\.json",
    "run": rf"runs/.+-{KEY}",
    "chapter": rf"chapters/[^/]+/{KEY}-[^/]+",
    "leftover": r"(models/[^/]+|cells/..|inputs|runs|models|chapters/.+|fetched|vendor)"
    r"/\.[^/]+\.[a-z0-9_]{8}",
    "fetched": r"(fetched|vendor)/[^/.][^/]*",
}
PLACES = ("*", "models/*", "models/*/.*", "cells/*/*", "inputs/*", "runs/*", "chapters/*/*")
PLACES += ("chapters/*/*/.*", "fetched/*", "vendor/*")
FOLDERS = {"models", "cells", "inputs", "runs", "chapters", "fetched", "vendor", "locks", "scratch"}


@dataclass(frozen=True)
class Entry:
    """One thing in the store.

    Attributes:
        kind: a key of `SHAPES`, or "other" for what isn't ours.
        of: what it is, for people.
        why: why nothing can use it now; "" if something can.
    """

    kind: str
    path: Path
    of: str
    why: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        files = self.path.rglob("*") if self.path.is_dir() else [self.path]
        return sum(path.stat().st_size for path in files if path.is_file())

    @property
    def age(self) -> float:
        """Seconds since it was last written to."""
        inside = self.path.iterdir() if self.path.is_dir() else []
        return time.time() - max(path.lstat().st_mtime for path in (self.path, *inside))


def report(action: str, path: str | None = None, dry_run: bool = False) -> tuple[str, int]:
    """What `taskspaces store ACTION` prints, and its status: 1 if something is broken.

    Raises:
        InputError: an option that the action doesn't have.
    """
    if (path and action != "verify") or (dry_run and action != "prune"):
        raise InputError(f"{action} takes no {'path' if path else '--dry-run'}")
    root = store.store_path()
    if not root.is_dir() and not path:
        return f"there is no store yet: {root}", 0
    if action == "list":
        table = listing()
        shown = table.to_string(index=False) if len(table) else "nothing is stored"
        return f"{shown}\n{table['MB'].sum():.1f} MB in {root}", 0
    if action == "verify":
        number, faults = verify(path)
        return "\n".join([*faults, f"{number} looked at, {len(faults)} faults"]), int(bool(faults))
    lines, gone = [], 0
    for entry, fate, size in prune(dry_run):
        lines.append(f"{entry.path}: {entry.why}: {fate}")
        gone += 0 if fate.startswith("stays") else size
    lines.append(f"{gone / 1e6:.1f} MB {'would be ' if dry_run else ''}removed")
    return "\n".join(lines), 0


def entries() -> list[Entry]:
    """All that is in the store, in order of kind and path."""
    root = store.store_path()
    paths = {path for place in PLACES for path in root.glob(place)}
    found = []
    for path in sorted(paths):
        name = path.relative_to(root).as_posix()
        if name in FOLDERS or name == store.MARKER:
            continue
        kind = next((k for k, shape in SHAPES.items() if re.fullmatch(shape, name)), "other")
        found.append(Entry(kind, path, *_LOOK[kind](path)))
    used = {records.about_of(e.path).get("inputs") for e in found if e.kind == "cell" and not e.why}
    lone = "no result that can be used is of them"
    found = [
        Entry(e.kind, e.path, e.of, e.why or ("" if e.path.stem in used else lone))
        if e.kind == "inputs"
        else e
        for e in found
    ]
    order = [*SHAPES, "other"]
    return sorted(found, key=lambda e: (order.index(e.kind), e.of))


def listing() -> pd.DataFrame:
    """Columns kind, of, number, MB, newest (an age in words), useless (how many of them)."""
    rows = [
        {"kind": e.kind, "of": e.of, "number": 1, "MB": e.size / 1e6, "newest": e.age,
         "useless": bool(e.why)}
        for e in entries()
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["kind", "of", "number", "MB", "newest", "useless"])
    how = {"number": "sum", "MB": "sum", "newest": "min", "useless": "sum"}
    table = table.groupby(["kind", "of"], sort=False, as_index=False).agg(how)
    return table.assign(MB=table["MB"].round(2), newest=[_words(s) for s in table["newest"]])


def verify(path: str | Path | None = None) -> tuple[int, list[str]]:
    """How many things were looked at, and what is not as it was written.

    Args:
        path: a run folder, a training, a checkpoint or a record; the whole store if None.

    Raises:
        InputError: `path` is none of these, or has no checksums.
    """
    if path is None:
        checks = [(e, _faults(e.path)) for e in entries() if e.kind in _CHECKED]
        return len(checks), [fault for _, faults in checks for fault in faults]
    faults = _faults(Path(path))
    if faults is None:
        raise InputError(
            f"{path} has no checksums: name a run folder (with manifest.json), a training or a "
            "checkpoint of the store, or a file of its cells/ or inputs/"
        )
    return 1, faults


def prune(dry_run: bool = False) -> Iterator[tuple[Entry, str, int]]:
    """Remove what nothing can use; yields each, what became of it, and its size in bytes.

    What may be in use stays: leftovers and inputs that are not a day old, and whatever another
    process is at work on.
    """
    for entry in entries():
        if not entry.why:
            continue
        size = entry.size
        if entry.kind in ("leftover", "inputs") and entry.age < DAY:
            yield entry, "stays, for it may be in use: it is not a day old", size
        elif strange := _strangers(entry):
            yield entry, f"stays, for {strange[0]} in it is not ours", size
        else:
            yield entry, "would be removed" if dry_run else _remove(entry), size


# ------------------------------------------------------------------ each kind: of what, and useless


def _look_model(folder: Path) -> tuple[str, str]:
    name, about = folder.name[:-17], records.about_of(folder / records.SUMS)
    if not about:
        return name, "of an earlier layout, or broken off at once"
    code = {part: about.get(part) for part in ("method", "versions")}
    if code != present_code("training"):
        return name, "of other code"
    scale = about["scale"]
    own = "study" in about  # a scale of a study's own, which no row of scales.yml has to know
    if not own and _scales().get(scale["name"]) != {k: v for k, v in scale.items() if k != "name"}:
        return name, f"scale {scale['name']} has changed"
    if "language" not in about:  # a text of one's own: no file of data/ is behind it
        return name, ""
    data = _known(data_key, about["language"])
    return name, "the language has changed" if data not in (None, about.get("data")) else ""


def _look_cell(path: Path) -> tuple[str, str]:
    about, fault = records.about_of(path), records.fault_of(path)
    if fault:
        return "broken", fault
    model = about["model"]
    of = f"{about['kind']}, {model['name']}"
    code = present_code(about["kind"])
    return of, "" if code.items() <= about.items() else "of other code"


def _look_inputs(path: Path) -> tuple[str, str]:
    return "pairs and texts", records.fault_of(path)


def _look_run(folder: Path) -> tuple[str, str]:
    name = folder.name[:-17]
    try:
        manifest = Run(folder).manifest
        settings = manifest["parameters"]
        known = Profile(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
    except (InputError, KeyError, TypeError):
        return f"profile {name}", "broken, or of another layout"
    if _known(sweep_key, known) not in (None, manifest.get("key")):
        return f"profile {name}", "of other code or data"
    present = _known(lambda: sweep_key(load_profile(name)))
    there = store.data_path("profiles", f"{name}.yml").is_file()
    if not there or present not in (None, manifest.get("key")):
        return f"profile {name}", "the profile has changed" if there else "no such profile"
    return f"profile {name}", ""


def _look_chapter(folder: Path) -> tuple[str, str]:
    profile, chapter = folder.parent.name, folder.name[17:]
    if not store.data_path("profiles", f"{profile}.yml").is_file():
        return f"profile {profile}", "no such profile"
    there = (store.project_root() / "notebooks" / f"{chapter}.md").is_file()
    return f"profile {profile}", "" if there else "no such chapter"


_LOOK = {
    "model": _look_model,
    "cell": _look_cell,
    "inputs": _look_inputs,
    "run": _look_run,
    "chapter": _look_chapter,
    "leftover": lambda path: ("a crash", "left by a crash"),
    "fetched": lambda path: (path.parent.name, ""),
    "other": lambda path: (path.relative_to(store.store_path()).as_posix(), ""),
}


def _known(function, *arguments):
    """What the function gives; None where it can't be known now, as when the real text is away."""
    try:
        return function(*arguments)
    except InputError:
        return None


@functools.cache
def _scales() -> dict:
    return yaml.safe_load(store.data_path("scales.yml").read_text(encoding="utf-8"))


# -------------------------------------------------------------------------- checking, and removing

_CHECKED = ("model", "cell", "inputs", "run")


def _faults(path: Path) -> list[str] | None:
    """What is wrong with it; None if it has no checksums."""
    if (path / records.SUMS).is_file():
        return [f"{path / name}: not as it was written" for name in records.changed(path)]
    if (path / "manifest.json").is_file():
        try:
            run = Run(path)
        except InputError as error:
            return [str(error)]
        return run.faults() if "sha256" in run.manifest else None
    if (path.parent / records.SUMS).is_file() and path.is_dir():
        bad = records.changed(path.parent, path.name)
        return [f"{path.parent / name}: not as it was written" for name in bad]
    if path.is_file() and path.suffix == ".json":
        return [f"{path}: {fault}"] if (fault := records.fault_of(path)) else []
    return None


def _strangers(entry: Entry) -> list[str]:
    """Files in a folder of ours that aren't."""
    folder = entry.path
    if not folder.is_dir() or entry.kind == "leftover":
        return []
    own = {"model": r"(step-\d{6}|state)/[^/]+|training\.(csv|json)|checksums\.json",
           "run": r"[a-z]+\.csv(\.xz)?|manifest\.json",
           "chapter": r"[^/]+\.ipynb"}[entry.kind]  # fmt: skip
    own = rf"{own}|(.*/)?\.[^/]+\.[a-z0-9_]{{8}}(/.*)?"
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
    return sorted(name for name in names if not re.fullmatch(own, name))


def _remove(entry: Entry) -> str:
    lock = {"model": entry.path.name, "run": f"sweep-{entry.path.name[-16:]}"}.get(entry.kind)
    try:
        with store.locked(lock or "prune", wait=lock is None):
            if entry.path.is_dir():  # first out of the way, so that no half of it is found
                away = Path(tempfile.mkdtemp(dir=entry.path.parent, prefix=f".{entry.path.name}."))
                entry.path.replace(away / "old")
                shutil.rmtree(away)
            else:
                entry.path.unlink(missing_ok=True)
    except BlockingIOError:
        return "stays, for another process is at work on it"
    return "removed"


def _words(seconds: float) -> str:
    for size, unit in ((DAY, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
