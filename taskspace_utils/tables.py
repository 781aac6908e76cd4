"""Tables: the schema of run folders, reading them and writing them.

A run folder holds tables as CSV and a `manifest.json` that says how they came about and what their
bytes were, so that one can see later whether they are still those.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from taskspace_utils.store import InputError, data_path, file_hash, new_folder, write_atomic

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
    "placement": (
        [*MODEL_KEYS, "a", "b"],
        [
            "cosine",
            "low",
            "high",
            "corrected",
            "corrected_low",
            "corrected_high",
            "nearest",
            "above_flips",
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
# The runs that this process has read, by folder: a figure's provenance names them.
READ: dict[Path, dict] = {}


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
    """Write a run folder whole: its tables, then `manifest.json`, which has their SHA-256.

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
        sums = {path.name: file_hash(path) for path in temporary.iterdir()}
        manifest = {**manifest, "sha256": sums}
        text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
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
            self.manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{path}: broken ({error}). Delete the folder, and make the run again."
            ) from error
        kept = ("key", "profile", "model", "method")
        about = {name: self.manifest[name] for name in kept if name in self.manifest}
        seeds = dict(self.manifest.get("parameters") or {}).get("seeds")
        about |= {"seeds": seeds} if seeds else {}
        READ[self.folder.resolve()] = {"folder": self.folder.name, **about, "tables": {}}

    @property
    def scoring(self) -> str:
        """ "causal", or "pseudo" where scores are pseudo-likelihoods."""
        return self.manifest.get("scoring", "causal")

    def paths(self, name: str) -> list[Path]:
        """The files of a table: NAME.csv or NAME.csv.xz, or its rows in several, NAME-*.csv.xz."""
        whole = [self.folder / f"{name}{ending}" for ending in (".csv", ".csv.xz")]
        found = [path for path in whole if path.is_file()][:1]
        return found or sorted(self.folder.glob(f"{name}-*.csv.xz"))

    def has(self, name: str) -> bool:
        """Is there a table of this name?"""
        return bool(self.paths(name))

    def faults(self) -> list[str]:
        """What is no longer as it was written, by the manifest's checksums; none if all is."""
        found = []
        for name, known in self.manifest.get("sha256", {}).items():
            path = self.folder / name
            if not path.is_file():
                found.append(f"{path} is gone")
            elif file_hash(path) != known:
                found.append(f"{path} is not as it was written")
        return found

    def table(self, name: str) -> pd.DataFrame:
        """One table, with the columns that `TABLES` gives.

        Raises:
            InputError: the run has no such table.
        """
        paths = self.paths(name)
        if not paths:
            have = ", ".join(n for n in TABLES if self.has(n))
            raise InputError(f"{self.folder} has no table {name!r}; it has {have}")
        if read := READ.get(self.folder.resolve()):
            read["tables"] |= {path.name: file_hash(path) for path in paths}
        return pd.concat(map(read_table, paths), ignore_index=True)


def only(table: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    """The rows that have all the given values, such as those of one model; maybe none."""
    for column, wanted in where.items():
        table = table[table[column] == wanted]
    return table


def same_scoring(*runs: Run | None) -> None:
    """Refuse to put runs side by side whose numbers are different quantities.

    Raises:
        InputError: one has log-probabilities of causal models, another pseudo-likelihoods.
    """
    kinds = {run.scoring: run.folder for run in runs if run is not None}
    if len(kinds) > 1:
        raise InputError(
            f"{kinds['causal']} holds log-probabilities of causal models and {kinds['pseudo']} "
            "pseudo-likelihoods: these are different quantities, and are never compared or drawn "
            "together"
        )


def reference_run(name: str) -> Run:
    """A run that is shipped with the project, in `data/reference/NAME/`."""
    return Run(data_path("reference", name))


def reference_for(run: Run, name: str = "grammar") -> tuple[Run | None, str]:
    """The shipped run that a live one can be held against, and in words what stands there.

    Returns:
        None where none is shipped, or it has none of the run's scales or not its tasks (as with
        profile smoke); and a sentence for readers that says which.
    """
    if not data_path("reference", name, "manifest.json").is_file():
        return None, f"No reference run `{name}` is shipped: figures show this run alone."
    shipped = reference_run(name)
    if run.scoring != shipped.scoring:
        what = "has other scores (pseudo-likelihoods) than"
        return None, f"This run {what} the reference run `{name}`: figures show this run alone."
    of = [one.manifest["parameters"] for one in (run, shipped)]
    if not set(of[0]["scales"]) <= set(of[1]["scales"]) or (
        run.manifest["pairs"] != shipped.manifest["pairs"]
    ):
        what = f"profile {run.manifest['profile']} has other models or pairs than"
        return None, f"This {what} the reference run `{name}`: figures show this run alone."
    seeds = sorted(set(of[1]["seeds"]) - set(of[0]["seeds"]))
    return shipped, (
        f"Behind this run stands the reference run `{name}`, seeds {', '.join(map(str, seeds))}."
    )
