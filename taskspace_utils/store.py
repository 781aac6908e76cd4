"""Files: atomic writes, hashes, run folders, and where things are.

The first room of the package: it imports none of the others, and no torch. It is the only place
that writes results. It knows nothing of models or methods; `runs` decides what is stored.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import json
import lzma
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

# The rooms whose code decides a number; their text is part of every stored result's key.
METHOD_ROOMS = [
    "pairs",
    "templates",
    "grammar",
    "models",
    "checks",
    "trees",
    "scoring",
    "pretraining",
    "ftgd",
    "probing",
    "spaces",
    "hypotheses",
]

# Tables of a run folder: its key columns (rows are sorted by them), then its other columns.
# A run over several models puts MODEL_KEYS before them.
MODEL_KEYS = ["model", "scale", "seed", "step"]
TABLES: dict[str, tuple[list[str], list[str]]] = {
    "accuracy": (
        [*MODEL_KEYS, "task"],
        ["n", "accuracy", "margin", "margin_sd", "ties", "bits_per_token"],
    ),
    "margins": ([*MODEL_KEYS, "task", "pair_id"], ["log_p_good", "log_p_bad", "margin"]),
    "transfer": (
        [*MODEL_KEYS, "tuning", "source", "target"],
        [
            "margin_before",
            "margin_after",
            "margin_se",
            "accuracy_before",
            "accuracy_after",
            "n_eval",
            "flag",
        ],
    ),
    "tuning": (
        [*MODEL_KEYS, "tuning", "source"],
        ["own_gain", "steps", "reached", "displacement", "flag"],
    ),
    "harm": ([*MODEL_KEYS, "tuning", "source", "text"], ["harm_kl", "harm_loss"]),
    "ladder": (
        [*MODEL_KEYS, "rung", "source", "tuning_step", "text"],
        ["gain_train", "gain", "accuracy", "spread", "harm_kl", "harm_loss", "flag"],
    ),
    "gradient": (
        [*MODEL_KEYS, "a", "b"],
        [
            "cosine",
            "cosine_corrected",
            "cosine_blocks",
            "overlap",
            "overlap_lift",
            "overlap_blocks",
            "energy",
            "dot",
            "dot_masked",
            "k",
        ],
    ),
    "tasks": (
        [*MODEL_KEYS, "task"],
        [
            "phenomenon",
            "norm",
            "reliability",
            "participation",
            "top_001",
            "top_01",
            "top_10",
            "embedding_share",
            "bag_accuracy",
            "family",
            "sham_of",
            "flag",
        ],
    ),
    "training": ([*MODEL_KEYS, "text"], ["tokens", "loss"]),
    "configs": (
        ["tuning"],
        ["loss", "optimiser", "step_rule", "mask", "k", "target", "pair_seed", "tune_seed"],
    ),
    "lexical": (["a", "b"], ["lexical_diff"]),
}
# Read back as text even when every cell is empty or looks like a number: 1 and 01 are two pairs.
TEXT_COLUMNS = {"model", "scale", "flag", "phenomenon", "family", "sham_of", "task", "pair_id"}
TEXT_COLUMNS |= {"source", "target", "a", "b", "tuning", "text", "rung"}


class InputError(ValueError):
    """Something a person must mend: a file, a name, a parameter, a model.

    The message says what was wrong, where, and what to do. The command line prints it alone and
    ends with status 2.
    """


# --------------------------------------------------------------------------------- where things are


def project_root() -> Path:
    """The folder that holds `data/`, `notebooks/` and `book/`."""
    return Path(__file__).resolve().parent.parent


def data_path(*parts: str) -> Path:
    """A path inside the project's `data/` folder."""
    return project_root().joinpath("data", *parts)


def store_path(*parts: str) -> Path:
    """A path inside the store: `$TASKSPACES_STORE`, else `.taskspaces/` beside `data/`."""
    root = os.environ.get("TASKSPACES_STORE")
    return (Path(root).resolve() if root else project_root() / ".taskspaces").joinpath(*parts)


# ------------------------------------------------------------------------------------------- hashes


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
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


# -------------------------------------------------------------------------------------------- files


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Write a whole file or nothing: to a temporary name in the same folder, then renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)  # mkstemp keeps files private; results are for sharing
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


class new_folder:
    """A folder that appears whole or not at all.

    Inside the `with` block one writes into a temporary sibling; at its end the sibling takes the
    name, replacing an earlier folder of ours. A folder that holds other things is refused.

    Raises:
        InputError: the path exists and `marker` is not in it, so it isn't ours to replace.
    """

    def __init__(self, path: str | Path, marker: str) -> None:
        self.path, self.marker = Path(path), marker
        above = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if above.is_file():
            raise InputError(f"{above} is a file: name a folder that doesn't exist yet")
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / marker).exists():
            raise InputError(
                f"{path} holds files that are not ours (no {marker} in it): name a new folder"
            )

    def __enter__(self) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}."))
        os.chmod(self.temporary, 0o755)
        return self.temporary

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            if self.path.exists():  # a rename cannot replace a folder that isn't empty
                old = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}."))
                os.replace(self.path, old / "old")
                os.replace(self.temporary, self.path)
                shutil.rmtree(old)
            else:
                os.replace(self.temporary, self.path)
        else:
            shutil.rmtree(self.temporary, ignore_errors=True)


def table_text(table: pd.DataFrame, keys: list[str]) -> str:
    """A table as CSV text: rows sorted by `keys`, floats as %.9g, lines ended by LF."""
    ordered = table.sort_values(keys, kind="stable") if keys else table
    return ordered.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def write_table(path: str | Path, table: pd.DataFrame, keys: list[str]) -> Path:
    """Write a table as `.csv` or, where the name says so, `.csv.xz`; see `table_text`."""
    text = table_text(table, keys).encode()
    return write_atomic(path, lzma.compress(text) if str(path).endswith(".xz") else text)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote: gaps in numbers are NaN, gaps in text are ""."""
    data = Path(path).read_bytes()
    text = lzma.decompress(data) if str(path).endswith(".xz") else data
    kinds = dict.fromkeys(TEXT_COLUMNS, str)
    table = pd.read_csv(
        io.BytesIO(text), keep_default_na=False, na_values=[""], low_memory=False, dtype=kinds
    )
    for name in table.columns:
        if name in TEXT_COLUMNS or not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = table[name].astype(object).where(table[name].notna(), "")
    return table


# -------------------------------------------------------------------------------------- run folders


def model_columns(table: pd.DataFrame, model: str, scale="", seed="", step="") -> pd.DataFrame:
    """Put the keys of one model before a table's columns; empty where unknown."""
    keyed = table.copy()
    for place, (name, value) in enumerate(zip(MODEL_KEYS, (model, scale, seed, step), strict=True)):
        keyed.insert(place, name, value)
    return keyed


def write_run(folder: str | Path, tables: Mapping[str, pd.DataFrame], manifest: Mapping) -> Run:
    """Write a run folder whole: its tables, then `manifest.json`.

    Tables of more than 1 MB are written as `.csv.xz`.

    Raises:
        InputError: the folder holds other things than a run.
        ValueError: a table is not in the schema or its columns are not the schema's.
    """
    for name, table in tables.items():
        if name not in TABLES:
            raise ValueError(
                f"no table named {name} in a run folder; there are {', '.join(TABLES)}"
            )
        keys, columns = TABLES[name]
        if list(table.columns) != [*keys, *columns]:
            raise ValueError(
                f"table {name}: columns {list(table.columns)}, not {[*keys, *columns]}"
            )
        if table.duplicated(keys).any():
            raise ValueError(f"table {name}: two rows have the same {', '.join(keys)}")
    with new_folder(folder, "manifest.json") as temporary:
        for name, table in tables.items():
            large = len(table) * len(table.columns) > 100_000
            keys = TABLES[name][0]
            write_table(temporary / (f"{name}.csv.xz" if large else f"{name}.csv"), table, keys)
        text = json.dumps(dict(manifest), indent=1, sort_keys=True, ensure_ascii=False)
        write_atomic(temporary / "manifest.json", text + "\n")
    return Run(folder)


class Run:
    """A run folder, read: `run.table(name)` gives a table, `run.manifest` how it came about.

    Raises:
        InputError: the folder is not a run folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / "manifest.json"
        if not path.is_file():
            raise InputError(
                f"{folder} is not a run folder: it has no manifest.json. "
                "Make one with `taskspaces probe` or `taskspaces sweep`."
            )
        try:
            self.manifest: dict = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(
                f"{path}: broken ({error}). Delete the folder, and make the run again."
            ) from error

    def _path(self, name: str) -> Path | None:
        for ending in (".csv", ".csv.xz"):
            if (path := self.folder / f"{name}{ending}").is_file():
                return path
        return None

    def has(self, name: str) -> bool:
        """Is there a table of this name?"""
        return self._path(name) is not None

    def table(self, name: str) -> pd.DataFrame:
        """One table, with the columns that `TABLES` gives.

        Raises:
            InputError: the run has no such table.
        """
        path = self._path(name)
        if path is None:
            have = ", ".join(n for n in TABLES if self.has(n))
            raise InputError(f"{self.folder} has no table {name!r}; it has {have}")
        return read_table(path)


def reference_run(name: str) -> Run:
    """A run that is shipped with the project, in `data/reference/NAME/`."""
    return Run(data_path("reference", name))


def say(text: str) -> None:
    """Progress for a person at a terminal: a line on standard error."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # of a line that is being written over
    sys.stderr.write(f"{clear}{text}\n")
    sys.stderr.flush()
