"""Records: what the store keeps under a key, with what the key was made of and a checksum.

A record is plain JSON: `about` says what it is of, `content` what was found, and `sha256` is taken
over both. A record that is torn, was tampered with or lies under another's name is none: it is said
so in one line, and computed again. Nothing is pickled, so reading a store runs no code of others.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from taskspace_utils.store import file_hash, key_of, leftovers, say, write_atomic

SUMS = "checksums.json"


def write_record(path: Path, about: Mapping, content) -> Path:
    """Write a record, unless a sound one is there: the first that is finished stays.

    Raises:
        TypeError: `about` or `content` is no JSON.
    """
    if not path.is_file() or fault_of(path):
        write_atomic(path, _text(about, content))
    return path


def read_record(path: Path):
    """The content of a record; None where there is none, or it is broken, which is said."""
    if not path.exists():
        return None
    content, fault = _read(path)
    if fault:
        say(f"{path}: {fault}; it is made again")
    return content


def fault_of(path: Path) -> str:
    """What is wrong with a record; "" if nothing."""
    return _read(path)[1]


def about_of(path: Path) -> dict:
    """What a record is about; nothing if it is broken."""
    try:
        return dict(json.loads(path.read_bytes())["about"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _checksum(about, content) -> str:
    text = json.dumps([about, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(about: Mapping, content) -> str:
    parts = {"about": about, "content": content, "sha256": _checksum(about, content)}
    lines = ",\n".join(f'"{name}": {json.dumps(part)}' for name, part in parts.items())
    return f"{{{lines}}}\n"


def _read(path: Path) -> tuple[object, str]:
    try:
        record = json.loads(path.read_bytes())
        about, content, known = (record[name] for name in ("about", "content", "sha256"))
    except OSError as error:
        return None, f"cannot be read ({error.strerror or error})"
    except (ValueError, KeyError, TypeError):
        return None, "torn, or no record of this layout"
    if _checksum(about, content) != known:
        return None, "not as it was written (its checksum is another)"
    if path.name != SUMS and path.stem != key_of(about):
        return None, "lies under another's name"
    return content, ""


# --------------------------------------------------------------- folders: checkpoints of a training


def write_sums(folder: Path, about: Mapping, but: str = "") -> None:
    """Note the SHA-256 of a folder's files in its `checksums.json`; what is noted stays.

    Args:
        but: a folder inside whose files are not noted, for they change.
    """
    old = read_record(folder / SUMS) or {}
    skip, known = {SUMS, but, *(path.name for path in leftovers(folder))}, dict(old)
    for file in sorted(folder.glob("**/*")):
        name = file.relative_to(folder)
        if file.is_file() and name.parts[0] not in skip:
            known.setdefault(name.as_posix(), file_hash(file))
    if known != old:
        write_atomic(folder / SUMS, _text(about, known))


def forget(folder: Path, parts: Iterable[str]) -> None:
    """Remove files and folders from a folder, and their checksums from its list."""
    parts, path = set(parts), folder / SUMS
    rest = {n: s for n, s in (_read(path)[0] or {}).items() if n.split("/")[0] not in parts}
    for part in map(folder.joinpath, parts):
        shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
    if path.is_file():
        write_atomic(path, _text(about_of(path), rest))


def changed(folder: Path) -> list[str]:
    """The files of a folder that are gone or not as they were when noted, by their paths in it.

    A folder without `checksums.json` has nothing to compare with.
    """
    if not (folder / SUMS).exists():
        return []
    known, fault = _read(folder / SUMS)
    return [SUMS] if fault else [n for n, s in known.items() if not _same(folder / n, s)]


def _same(path: Path, known: str) -> bool:
    try:
        return file_hash(path) == known
    except OSError:  # gone, or no longer readable
        return False
