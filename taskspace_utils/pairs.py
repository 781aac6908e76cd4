"""The table of minimal pairs: reading, checking its form, writing.

A table of pairs is a pandas DataFrame, one row a pair, with the columns of `COLUMNS`, all text,
and whatever else the file had. On disk it is JSON Lines in BLiMP's field names, or CSV or TSV.
Whether the pairs are *good* pairs is the business of `checks`.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from taskspace_utils.store import InputError, write_atomic

COLUMNS = ["task", "phenomenon", "field", "pair_id", "item", "split", "good", "bad"]

# our name: the names a file may use for it
ON_DISK = {
    "good": ("sentence_good", "good"),
    "bad": ("sentence_bad", "bad"),
    "task": ("UID", "task"),
    "phenomenon": ("linguistics_term", "phenomenon"),
    "field": ("field",),
    "pair_id": ("pairID", "pair_id"),
    "item": ("item",),
    "split": ("split",),
}
REQUIRED = ("good", "bad", "task")
MIN_PAIRS = 4  # fewer cannot be halved twice
# BLiMP spells one field in two ways and files two tasks under a term its own paper doesn't count.
SPELLINGS = {
    "field": {"syntax/semantics": "syntax_semantics"},
    "phenomenon": {"s-selection": "argument_structure"},
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line of a file (line 0: with the file or a task as a whole)."""

    file: str
    line: int
    kind: str
    message: str
    error: bool

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{where}: {self.message}"


def read_pairs(path: str | Path, strict: bool = False, skip_faulty: bool = False) -> pd.DataFrame:
    """Read a file of minimal pairs, or every `.jsonl`, `.csv` and `.tsv` file of a folder.

    Args:
        path: a file or a folder.
        strict: warnings (identical pair, repeated sentence) are errors too.
        skip_faulty: leave out faulty rows instead of raising; `scan_pairs` tells which.

    Returns:
        The table of pairs, in the order of the files' names and lines.

    Raises:
        InputError: with the file, the line and the remedy of the first faults.
    """
    pairs, faults = scan_pairs(path)
    faulty = [f for f in faults if f.error or strict]
    unclear = [f for f in faulty if f.kind.startswith("unclear")]  # no single row is to blame
    if faulty and skip_faulty and not unclear:
        skipped = {(f.file, f.line) for f in faulty}
        keep = [(f, n) not in skipped for f, n in zip(pairs["file"], pairs["line"], strict=True)]
        pairs = pairs.loc[keep]
        counts = pairs["task"].value_counts()
        pairs = pairs[pairs["task"].isin(counts.index[counts >= MIN_PAIRS])]
        if pairs.empty:
            raise InputError(f"{path}: no task has {MIN_PAIRS} pairs without faults.\n{faulty[0]}")
    elif faulty:
        faulty = unclear if skip_faulty else faulty
        lines = [str(f) for f in faulty[:10]]
        if len(faulty) > 10:
            lines.append(f"… and {len(faulty) - 10} more")
        raise InputError(
            "\n".join(lines)
            + (
                "\nMend these lines"
                if unclear
                else "\nMend these lines, or leave them out with --skip-faulty"
            )
            + "; "
            + f"`taskspaces check-pairs {path}` lists all faults."
        )
    return pairs.drop(columns=["file", "line"]).reset_index(drop=True)


def scan_pairs(path: str | Path) -> tuple[pd.DataFrame, list[Fault]]:
    """Read pairs without raising for faulty rows.

    Returns:
        The table of all rows that could be read (with two more columns, `file` and `line`), and
        the faults in the order of files and lines.

    Raises:
        InputError: there is no such file, or a folder without pair files.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".jsonl", ".csv", ".tsv"))
        if not files:
            raise InputError(f"{path} holds no .jsonl, .csv or .tsv file of minimal pairs")
    elif path.is_file():
        files = [path]
    else:
        raise InputError(f"{path}: there is no such file or folder of minimal pairs")
    rows: list[dict] = []
    faults: list[Fault] = []
    for file in files:
        found = _read_rows(file, faults)
        rows.extend(found)
        if not found and not any(f.file == str(file) for f in faults):
            faults.append(Fault(str(file), 0, "empty file", "holds no pairs", True))
    table = pd.DataFrame(rows, columns=None if rows else [*COLUMNS, "file", "line"])
    _check_rows(table, str(path), faults)
    faults.sort(key=lambda f: (f.file, f.line))
    return table, faults


def _read_rows(file: Path, faults: list[Fault]) -> list[dict]:
    def fault(line: int, kind: str, message: str) -> None:
        faults.append(Fault(str(file), line, kind, message, True))

    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        fault(line, "not UTF-8", f"byte {error.start} is not UTF-8: save the file as UTF-8")
        return []
    rows = []
    if file.suffix.lower() == ".jsonl":
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if "\\u" in line:  # half of a surrogate pair is no character, and can't be written
                    json.dumps(record, ensure_ascii=False).encode()
            except json.JSONDecodeError as error:
                fault(number, "broken JSON", f"broken JSON ({error.msg}, column {error.colno})")
                continue
            except (ValueError, RecursionError) as error:
                fault(number, "broken JSON", f"broken JSON ({error})")
                continue
            if not isinstance(record, dict):
                fault(number, "broken JSON", "a line must hold one JSON object, {…}")
                continue
            rows.append((number, record))
    else:
        reader = csv.DictReader(
            io.StringIO(text, newline=""), delimiter="\t" if file.suffix.lower() == ".tsv" else ","
        )
        try:
            names = [name for name in reader.fieldnames or () if name]
            if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
                fault(1, "broken table", f"two columns are named {twice[0]!r}: rename one")
                return []
            for record in reader:
                if None in record or None in record.values():
                    message = "has more or fewer cells than the header"
                    fault(reader.line_num, "wrong number of cells", message)
                    continue
                rows.append((reader.line_num, record))
        except csv.Error as error:
            fault(reader.line_num, "broken table", f"cannot be read as a table ({error})")
    return [row for number, record in rows if (row := _one_row(number, record, str(file), fault))]


def _one_row(number: int, record: dict, file: str, fault) -> dict | None:
    row: dict = {}
    rest = dict(record)
    for ours, names in ON_DISK.items():
        name = next((n for n in names if n in record), None)
        value = record[name] if name else None
        for other in names:  # where a file has several of the names, the first counts
            rest.pop(other, None)
        if value is None or (isinstance(value, str) and not value.strip()):
            if ours in REQUIRED:
                what = "empty" if name else "missing"
                fault(number, f"{what} field", f"field {names[0]!r} is {what}")
                return None
            value = ""
        if ours in ("good", "bad") and not isinstance(value, str):
            fault(number, "not text", f"field {name!r} is not text but {type(value).__name__}")
            return None
        if not isinstance(value, str | int | float) or isinstance(value, bool) or value != value:
            fault(number, "not text", f"field {name!r} is not text but {str(value)[:40]}")
            return None
        value = str(value)
        if ours == "task" and not value.isprintable():
            fault(number, "not text", f"field {name!r} has control characters: {value[:40]!r}")
            return None
        row[ours] = SPELLINGS.get(ours, {}).get(value, value)
    row["phenomenon"] = row["phenomenon"] or "unlabelled"
    row["pair_id"] = row["pair_id"] or str(number)
    if row["split"] not in ("", "train", "eval"):
        fault(
            number, "unknown split", f"field 'split' is {row['split']!r}, not train, eval or empty"
        )
        return None
    return {c: row[c] for c in COLUMNS} | rest | {"file": file, "line": number}


def _check_rows(table: pd.DataFrame, path: str, faults: list[Fault]) -> None:
    seen: dict[tuple[str, str], tuple[str, int]] = {}
    sentences: dict[tuple[str, str], int] = {}
    places = zip(
        table["file"], table["line"], table["task"], table["pair_id"], table["good"], table["bad"],
        strict=True,
    )  # fmt: skip
    for file, line, task, pair_id, good, bad in places:
        if first := seen.get((task, pair_id)):
            message = f"task {task!r} has pairID {pair_id!r} already ({first[0]}, line {first[1]})"
            faults.append(Fault(file, line, "duplicate pair", message, True))
        seen.setdefault((task, pair_id), (file, line))
        if good == bad:
            message = "good and bad are the same sentence: its margin is 0 and it counts one half"
            faults.append(Fault(file, line, "identical pair", message, False))
        for sentence in {good, bad}:
            if (task, sentence) in sentences:
                message = f"task {task!r} has this sentence in line {sentences[task, sentence]} too"
                faults.append(Fault(file, line, "repeated sentence", message, False))
            sentences.setdefault((task, sentence), line)
    for task, rows in table.groupby("task", sort=True):
        if len(rows) < MIN_PAIRS:
            message = f"task {task!r} has {len(rows)} pairs; a task needs at least {MIN_PAIRS}"
            faults.append(Fault(rows["file"].iloc[0], 0, "too few pairs", message, True))
        for ours in ("phenomenon", "field"):
            if rows[ours].nunique() > 1:
                names = ", ".join(sorted(map(repr, rows[ours].unique())))
                message = f"task {task!r} is given more than one {ours}: {names}"
                faults.append(Fault(rows["file"].iloc[0], 0, f"unclear {ours}", message, True))


def write_pairs(path: str | Path, pairs: pd.DataFrame) -> Path:
    """Write pairs as JSON Lines in BLiMP's field names, or as CSV or TSV by the file's ending."""
    path = Path(path)
    if path.suffix not in (".jsonl", ".csv", ".tsv"):
        raise InputError(f"{path}: the name of a file of pairs ends in .jsonl, .csv or .tsv")
    renamed = pairs.rename(columns={ours: names[0] for ours, names in ON_DISK.items()})
    if path.suffix == ".jsonl":
        lines = (
            # what a row lacks is "" in a column of ours, NaN (which is no JSON) in another
            json.dumps({k: v for k, v in row.items() if v != "" and v == v}, ensure_ascii=False)
            for row in renamed.to_dict("records")
        )
        return write_atomic(path, "".join(line + "\n" for line in lines))
    separator = "\t" if path.suffix == ".tsv" else ","
    return write_atomic(path, renamed.to_csv(index=False, sep=separator, lineterminator="\n"))


def differing(a: list, b: list) -> tuple[int, int]:
    """Where in `a` the part begins and ends that differs from `b`, between what both share."""
    start, most = 0, min(len(a), len(b))
    while start < most and a[start] == b[start]:
        start += 1
    end = 0
    while end < most - start and a[-1 - end] == b[-1 - end]:
        end += 1
    return start, len(a) - end
