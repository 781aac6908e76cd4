"""Files: where things are, hashes, and writing whole or not at all.

The first room of the package: it imports none of the others, and no torch. It is the only place
that writes results. It knows nothing of models or methods; `runs` decides what is stored.
"""

from __future__ import annotations

import ast
import errno
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# The rooms whose code decides a number; their text is part of every stored result's key.
METHOD_ROOMS = [
    "yaml_files",
    "pairs",
    "splits",
    "templates",
    "grammar",
    "scales",
    "models",
    "checks",
    "trees",
    "scoring",
    "pretraining",
    "ftgd",
    "gradients",
    "probing",
    "spaces",
    "hypotheses",
]
LAYOUT = 2  # of the store: 2 has checksums; 1 had no marker and none
MARKER = "taskspaces-store.json"


# What a process that works for another one must be told.
SETTINGS = ("TASKSPACES_STORE", "TASKSPACES_DATA", "TASKSPACES_DEVICE", "TASKSPACES_PRECISION")


class InputError(ValueError):
    """Something a person must mend: a file, a name, a parameter, a model.

    The message says what was wrong, where, and what to do. The command line prints it alone and
    ends with status 2.
    """


# --------------------------------------------------------------------------------- where things are


def project_root() -> Path:
    """The folder that holds `data/`, `notebooks/` and `book/`."""
    return Path(__file__).resolve().parent.parent


def in_project() -> bool:
    """Does the package lie in the project, with chapters beside it? An installed wheel doesn't."""
    return (project_root() / "notebooks").is_dir()


def data_path(*parts: str) -> Path:
    """A path inside the project's `data/` folder, or inside the part of it that a wheel has."""
    inside = Path(__file__).resolve().parent / "data"
    return (inside if inside.is_dir() else project_root() / "data").joinpath(*parts)


def store_path(*parts: str) -> Path:
    """A path inside the store: `$TASKSPACES_STORE`, else `.taskspaces/` beside `data/`.

    Of an installed wheel it is `.taskspaces/` in the folder that one works in.

    Raises:
        InputError: a newer version of the package has written the store, or its marker is broken.
    """
    root = _store_root()
    try:
        layout = int(json.loads((root / MARKER).read_text(encoding="utf-8"))["layout"])
    except (FileNotFoundError, NotADirectoryError):
        layout = 1
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{root / MARKER} is broken; it should say which layout the store has. Delete it if "
            "no newer version of the package has used this store."
        ) from error
    if layout > LAYOUT:
        raise InputError(
            f"the store {root} is from a newer version of the package: its layout is {layout}, "
            f"and this version knows {LAYOUT}. Update the package, or name another folder with "
            "TASKSPACES_STORE."
        )
    return root.joinpath(*parts)


def _store_root() -> Path:
    root = os.environ.get("TASKSPACES_STORE")
    here = project_root() if in_project() else Path.cwd()
    return Path(root).resolve() if root else here / ".taskspaces"


def _mark(path: Path) -> None:
    """Before anything is written into the store, it is marked with its layout."""
    if path.name != MARKER and path.absolute().is_relative_to(_store_root()):
        marker = store_path(MARKER)
        if not marker.is_file():
            write_atomic(marker, json.dumps({"layout": LAYOUT}) + "\n")


# ------------------------------------------------------------------------------------------- hashes


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits; a process reads a file once until it changes."""
    found = os.stat(path)
    return _file_hash(os.path.abspath(path), found.st_ino, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=10_000)
def _file_hash(path: str, *state: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_hash(paths: Iterable[str | Path]) -> str:
    """SHA-256 over the names and contents of files, in sorted order; 64 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(map(Path, paths)):
        digest.update(f"{path.name}\0{file_hash(path)}\n".encode())
    return digest.hexdigest()


def key_of(parts: Mapping) -> str:
    """16 hex digits that stand for a mapping: the same for the same values in any order."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def text_key(lines: Iterable[str]) -> str:
    """16 hex digits that stand for lines of text in their order."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()[:16]


def method_version() -> str:
    """12 hex digits that stand for the code of the method rooms taken as one."""
    return code_version(*METHOD_ROOMS)


@functools.cache  # what was imported counts, not what is edited while it runs
def code_version(*rooms: str) -> str:
    """12 hex digits that stand for the code of these rooms of the package.

    Comments, docstrings and layout do not count: they change no number.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for room in rooms:
        tree = ast.parse((here / f"{room}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            first = body[0] if isinstance(body, list) and body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                del body[0]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:12]


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on, for manifests and keys."""
    found = {"python": platform.python_version()}
    for name in (
        "taskspace-utils",
        "torch",
        "transformers",
        "tokenizers",
        "numpy",
        "pandas",
        "scikit-learn",
    ):
        try:
            found[name] = version(name).split("+")[0]
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def hardware() -> dict[str, str]:
    """Device and precision as they were asked for: `$TASKSPACES_DEVICE`, `$TASKSPACES_PRECISION`.

    They change the last digits, so they are part of every stored result's key.
    """
    asked = {"device": "cpu", "precision": "fp32"}
    return {name: os.environ.get(f"TASKSPACES_{name.upper()}") or asked[name] for name in asked}


# -------------------------------------------------------------------------------------------- files


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write a whole file or nothing: to a temporary name in the same folder, then renamed."""
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    try:
        _mark(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)  # mkstemp keeps files private; results are for sharing
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:  # a full disk doesn't say which file it has no room for
        error.filename = error.filename or str(path)
        raise
    return path


def _not_of_a_run(folder: Path) -> list[str]:
    """What in a folder is no part of a run: files of somebody's own, or all but the name of one."""
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    ours = r"\..+|manifest\.json|report\.(ipynb|html)|.+\.csv(\.xz)?"
    strange = [name for name in found if not re.fullmatch(ours, name)]
    try:
        about = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or broken: then its other files tell
        return strange
    named = isinstance(about, dict) and {"sha256", "method"} & set(about)
    return strange if named else ["a manifest.json", *strange]


class new_folder:
    """A folder that appears whole or not at all.

    Inside the `with` block one writes into a temporary sibling; at its end the sibling takes the
    name, replacing an earlier folder of ours. A folder that holds other things is refused.

    Raises:
        InputError: the path exists and `marker` is not in it, so it isn't ours to replace; or the
            marker is that of a run, and something else is there too.
    """

    def __init__(self, path: str | Path, marker: str) -> None:
        self.path, self.marker = Path(path), marker
        above = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if above.is_file():
            raise InputError(f"{above} is a file: name a folder that doesn't exist yet")
        if above != self.path:
            try:  # now, and not when all is computed
                os.rmdir(tempfile.mkdtemp(dir=above))
            except OSError as error:
                raise InputError(f"{path}: nothing can be made in {above} ({error.strerror}); "
                                 "name a folder elsewhere") from error  # fmt: skip
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / marker).exists():
            raise InputError(
                f"{self.path} holds files that are not ours (no {marker} in it): name a new folder"
            )
        if marker == "manifest.json" and (strange := _not_of_a_run(self.path)):
            raise InputError(
                f"{path} would be replaced as a whole, and holds {', '.join(strange[:3])}, which "
                "no run has written: name a new folder, or move that elsewhere"
            )

    def __enter__(self) -> Path:
        _mark(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}."))
        os.chmod(self.temporary, 0o755)
        return self.temporary

    def __exit__(self, kind, error, trace) -> None:
        try:
            while kind is None:
                try:
                    os.replace(self.temporary, self.path)
                    return
                except OSError as refused:  # a rename cannot replace a folder that isn't empty
                    if refused.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                old = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}."))
                with suppress(FileNotFoundError):  # another process has just moved it
                    os.replace(self.path, old / "old")
                shutil.rmtree(old)
        finally:
            shutil.rmtree(self.temporary, ignore_errors=True)


def leftovers(folder: Path) -> list[Path]:
    """Temporary files and folders of ours in a folder: in use just now, or of a crash."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if re.fullmatch(r"\..+\.[a-z0-9_]{8}", path.name))


@contextmanager
def locked(name: str, wait: bool = True) -> Iterator[None]:
    """One process at a time does what has this name, in one store; others say that they wait.

    The system frees the lock when its process ends, however it ends.

    Raises:
        BlockingIOError: another process is at it, and `wait` is False.
    """
    from filelock import FileLock, Timeout

    path = store_path("locks", f"{name}.lock")
    _mark(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            raise BlockingIOError(f"another process is at work on {name}") from None
        say(f"another process is at work on {name}: waiting until it is done (Ctrl-C ends this)")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def say(text: str) -> None:
    """Progress for a person at a terminal: a line on standard error."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # of a line that is being written over
    sys.stderr.write(f"{clear}{text}\n")
    sys.stderr.flush()
