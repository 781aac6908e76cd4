"""Comparison: two runs side by side, cell by cell and claim by claim.

A cell is one number of one table, and it is compared with the other run's number of the same key:
same model, scale, seed, step, tasks. Models of other seeds are other models: their cells are never
subtracted, but one seed's cell can be seen as a point against the band of the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from taskspace_utils.store import InputError, data_path
from taskspace_utils.tables import MODEL_KEYS, TABLES, Run, reference_run, same_scoring

TOLERANCE = 1e-3  # nats: another processor or number of threads adds up in another order
UNITS = dict.fromkeys(
    [
        "margin", "margin_sd", "margin_before", "margin_after", "margin_se", "own_gain", "harm_kl",
        "harm_loss", "gain_train", "gain", "spread", "loss", "log_p_good", "log_p_bad",
    ],
    "nats",
) | {"bits_per_token": "bits"}  # fmt: skip
# Numbers without a natural size: their difference counts as a share (see `_sizes`).
RELATIVE = {"dot", "dot_masked", "norm", "participation", "overlap_lift", "tokens", "displacement"}
# Where a margin within the tolerance of 0 changes its sign, one pair more or less is right.
ONE_PAIR = {"accuracy": "n", "accuracy_before": "n_eval", "accuracy_after": "n_eval", "ties": ""}
SHOWN = {  # the number of each table that is held against the band of other seeds
    "accuracy": "margin", "transfer": "margin_after", "gradient": "cosine", "tasks": "reliability",
    "harm": "harm_loss", "training": "loss",
}  # fmt: skip
# Settings of a profile that decide what the models read or what they are asked.
SETTINGS = ("language", "lexicon", "pairs_per_task", "pair_seed", "sentences", "corpus_seed")
MANIFEST = {
    "method": "the code that decides numbers",
    "pairs": "pairs",
    "bos": "BOS policy",
    "device": "device",
    "precision": "precision",
    "machine": "machine",
    "processor": "processor's instructions",
    "threads": "threads",
    "ladder": "the ladder's code",
}


class Cells(NamedTuple):
    """What `compare_cells` finds.

    Attributes:
        summary: one row a column of a table: table, column, unit, cells (that both runs have),
            equal (to the last digit written), within (the tolerance), median and largest
            difference (in the unit; of `RELATIVE` columns as shares).
        beyond: the cells that are not within, the largest difference first: table, column, the
            model's keys, task (or source), at (all other keys), one, other, difference.
        alone: keys that only one run has: run ("A" or "B"), table, what, rows.
    """

    summary: pd.DataFrame
    beyond: pd.DataFrame
    alone: pd.DataFrame


def find_run(name: str | Path) -> Run:
    """A run folder, or a shipped reference by its name.

    Raises:
        InputError: it is neither; the message names the references.
    """
    shipped = sorted(p.parent.name for p in data_path("reference").glob("*/accuracy.csv"))
    if not Path(name).exists():
        if str(name) in shipped:
            return reference_run(str(name))
        raise InputError(
            f"{name}: neither a folder here nor a run that is shipped; those are "
            + ", ".join(shipped)
        )
    run = Run(name)
    if not any(run.has(table) for table in TABLES):
        raise InputError(f"{name} has a manifest.json but no table of a run folder")
    return run


# ---------------------------------------------------------------------------------------- the cells


def compare_cells(one: Run, other: Run, tolerance: float = TOLERANCE) -> Cells:
    """Every number that two runs both have, compared; and the keys that only one has.

    Raises:
        InputError: a table's columns are not those of this version, or the runs' scores are not of
            one kind.
    """
    same_scoring(one, other)
    rows, beyond, alone = [], [], []
    for name in (n for n in TABLES if one.has(n) and other.has(n)):
        both = _merged(one, other, name)
        for side, run in (("left_only", "A"), ("right_only", "B")):
            if (both["_merge"] == side).any():
                rest = both[both["_merge"] != side]
                mine = both[both["_merge"] == side]
                found = {"run": run, "table": name, "what": _what(mine, rest, name)}
                alone.append(found | {"rows": len(mine)})
        shared = both[both["_merge"] == "both"]
        for column in (c for c in TABLES[name][1] if {c, f"{c}'"} <= set(shared)):
            row, far = _column(shared, name, column, tolerance)
            rows += [row] if len(shared) else []
            beyond += [far] if len(far) else []
    names = ["table", "column", "unit", "cells", "equal", "within", "median", "largest"]
    keys = ["table", "column", *MODEL_KEYS, "task", "at", "one", "other", "difference"]
    far = pd.concat(beyond, ignore_index=True) if beyond else pd.DataFrame(columns=keys)
    far = far.sort_values("difference", ascending=False, ignore_index=True)
    parts = ["run", "table", "what", "rows"]
    return Cells(pd.DataFrame(rows, columns=names), far, pd.DataFrame(alone, columns=parts))


def keyed(run: Run, name: str) -> pd.DataFrame:
    """A table whose keys are text, the same for 800 and 800.0."""
    table, (keys, columns) = run.table(name), TABLES[name]
    left_out = run.manifest.get("shipped", {}).get(name, {}).get("left_out", [])
    if missing := [c for c in (*keys, *columns) if c not in table and c not in left_out]:
        raise InputError(
            f"{run.folder}, table {name}: no column {', '.join(missing)}; it was written by "
            "another version of the package: make the run again"
        )
    for key in keys:
        if pd.api.types.is_numeric_dtype(table[key]):
            table[key] = table[key].map("{:g}".format).replace("nan", "")
        table[key] = table[key].astype(str)
    return table


def _merged(one: Run, other: Run, name: str) -> pd.DataFrame:
    keys = TABLES[name][0]
    tables = (keyed(one, name), keyed(other, name))
    if name == "ladder":  # its accuracies are of the eval half, whose size the manifest knows
        pairs = one.manifest.get("parameters", {}).get("pairs_per_task", 4)
        tables[0]["n"] = pairs - pairs // 2
    return tables[0].merge(tables[1], on=keys, how="outer", suffixes=("", "'"), indicator=True)


def _what(mine: pd.DataFrame, rest: pd.DataFrame, name: str) -> str:
    """What is new in these keys: values that the other run doesn't have, by column."""
    new = {key: sorted(set(mine[key]) - set(rest[key]), key=in_order) for key in TABLES[name][0]}
    if any(new.get(key) for key in MODEL_KEYS[1:]):
        new.pop("model")  # a name made of scale and seed says nothing more
    said = [f"{key} {some_of(values)}" for key, values in new.items() if values]
    return "; ".join(said) or "other combinations of the same keys"


def in_order(text: str) -> tuple:
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)


def some_of(names: Iterable, most: int = 8) -> str:
    """Names with commas between them, the first ones and how many more."""
    names = [str(name) or "(none)" for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _column(shared: pd.DataFrame, name: str, column: str, tolerance: float):
    """One column's row of the summary, and its cells that are not within the tolerance."""
    a, b = shared[column], shared[f"{column}'"]
    gaps = a.isna() & b.isna()
    row = {"table": name, "column": column, "unit": UNITS.get(column, ""), "cells": len(shared)}
    if pd.api.types.is_bool_dtype(a) or not all(map(pd.api.types.is_numeric_dtype, (a, b))):
        equal = within = (a.astype(str) == b.astype(str)) | gaps
        distance = pd.Series(np.where(equal, 0.0, np.nan), shared.index)
        row |= {"median": np.nan, "largest": np.nan}
    else:
        distance = (a - b).abs().where(~gaps, 0.0)
        allowed = pd.Series(tolerance, shared.index)
        if column in RELATIVE:
            distance = distance / _sizes(shared, column).where(lambda size: size > 0, 1.0)
            row["unit"] = "share"
        if column in ONE_PAIR:
            pairs = shared[ONE_PAIR[column]] if ONE_PAIR[column] else 1.0
            allowed = np.maximum(allowed, 1 / pairs + 1e-9)
        equal, within = distance == 0, distance <= allowed
        row |= {"median": distance.median(), "largest": distance.max()}
    row |= {"equal": int(equal.sum()), "within": int(within.sum())}
    far = shared[~within]
    others = [key for key in TABLES[name][0] if key not in MODEL_KEYS]
    table = pd.DataFrame({"table": name, "column": column}, index=far.index)
    for key in MODEL_KEYS:
        table[key] = far.get(key, "")
    task = [key for key in others if key in ("task", "source", "a")]
    table["task"] = far[task[0]] if task else ""
    table["at"] = ["; ".join(f"{k} {v}" for k, v in zip(others, row_, strict=True))
                   for row_ in far[others].itertuples(index=False)]  # fmt: skip
    table["one"], table["other"] = a[far.index].astype(object), b[far.index].astype(object)
    return row, table.assign(difference=distance[far.index])


def _sizes(shared: pd.DataFrame, column: str) -> pd.Series:
    """What a difference is a share of: the larger of the two values.

    Of what two tasks share (inner products, which can cancel to nearly nothing; lifts, which can
    hang on a few parameters), the root of the product of both tasks' own, if that is larger.
    """
    size = np.maximum(shared[column].abs(), shared[f"{column}'"].abs())
    if {"a", "b"} <= set(shared):
        own = shared[shared["a"] == shared["b"]]
        own = own.set_index([*MODEL_KEYS, "a"])[column].abs()
        product = np.ones(len(shared))
        for end in ("a", "b"):
            product *= own.reindex(pd.MultiIndex.from_frame(shared[[*MODEL_KEYS, end]])).to_numpy()
        size = size.where(size > np.sqrt(product), pd.Series(np.sqrt(product), shared.index))
    return size.fillna(1.0)


def likely_reasons(one: Run, other: Run) -> list[str]:
    """What the two manifests say differently that can change a cell; empty where nothing is."""
    found = []
    for key, text in MANIFEST.items():
        found += _differs(text, one.manifest.get(key), other.manifest.get(key))
    versions = [run.manifest.get("versions", {}) for run in (one, other)]
    for name in sorted({*versions[0], *versions[1]}):
        found += _differs(name, *(some.get(name) for some in versions))
    settings = [run.manifest.get("parameters", {}) for run in (one, other)]
    for name in SETTINGS if all(settings) else ():
        found += _differs(name, *(some.get(name) for some in settings))
    for name in ("tasks", "without"):  # what is shown in pairs, or withheld, is not in the corpus
        lists = [set(some.get(name) or ()) for some in settings]
        if all(settings) and lists[0] != lists[1]:
            found.append(f"{name}: other ones, and so another corpus")
    for side, run in zip("AB", (one, other), strict=True):
        for table, how in run.manifest.get("shipped", {}).items():
            found.append(f"digits: {how['digits']} in {side}'s table {table}, as it is shipped")
    return found


def _differs(what: str, one, other) -> list[str]:
    if one == other or one is None or other is None:
        return []
    return [f"{what}: {one} against {other}"]


def same_weights(cells: Cells) -> str:
    """What the held-out losses say of the weights: they were taken where each checkpoint was."""
    loss = cells.summary.query("table == 'training' and column == 'loss'")
    if loss.empty:
        return "no held-out losses to tell whether the weights are the same"
    row = loss.iloc[0]
    if row["equal"] == row["cells"]:
        return f"all {row['cells']} held-out losses are equal: the weights are probably the same"
    return (
        f"{row['cells'] - row['equal']} of {row['cells']} held-out losses differ, by up to "
        f"{row['largest']:.2g} nats: the models were trained into other weights "
        "(rounding grows in training: chapter 12), so their cells need not agree"
    )


# ------------------------------------------------------------------------------ one seed and others


def band(one: Run, other: Run, table: str, column: str | None = None) -> pd.DataFrame:
    """Each cell of a run as a point against the same cell of the other run's *other* seeds.

    Returns:
        the table's keys without model, then value, low, high (the smallest and largest of the
        other seeds), n (how many), inside. Of n exchangeable seeds (n − 1) / (n + 1) of the points
        lie inside. Cells with fewer than two other seeds are left out.
    """
    column = column or SHOWN[table]
    keys = [key for key in TABLES[table][0] if key != "model"]
    if "seed" not in keys or not (one.has(table) and other.has(table)):
        return pd.DataFrame(columns=[*keys, "value", "low", "high", "n", "inside"])
    point, rest = (keyed(run, table)[[*keys, column]] for run in (one, other))
    point = point.rename(columns={column: "value"})
    cell = [key for key in keys if key != "seed"]
    parts = [point.iloc[:0].assign(low=np.nan, high=np.nan, n=0)]
    for seed, some in point.groupby("seed"):
        others = rest[(rest["seed"] != seed) & (rest["seed"] != "")].groupby(cell)[column]
        ends = others.agg(["min", "max", "count"]).set_axis(["low", "high", "n"], axis=1)
        parts.append(some.merge(ends[ends["n"] > 1], left_on=cell, right_index=True))
    found = pd.concat(parts, ignore_index=True).dropna(subset="value")
    return found.assign(inside=found["value"].between(found["low"], found["high"]))


def bands(one: Run, other: Run) -> pd.DataFrame:
    """How much of a run lies inside the band of the other's other seeds, a row a table.

    Returns:
        table, column, cells, seeds (in the band), inside and expected (shares of the cells).
    """
    rows = []
    for table, column in SHOWN.items():
        some = band(one, other, table, column)
        if len(some):
            n = some["n"]
            expected = ((n - 1) / (n + 1)).mean()
            rows.append((table, column, len(some), n.max(), some["inside"].mean(), expected))
    return pd.DataFrame(rows, columns=["table", "column", "cells", "seeds", "inside", "expected"])


# --------------------------------------------------------------------------------------- the claims


def compare_claims(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The verdicts of two runs side by side.

    Args:
        one, other: tables of `claims.verdicts`.

    Returns:
        claim, estimand, unit, A, B (value and interval as text), verdict_A, verdict_B, same.
    """
    keys = ["claim", "estimand", "unit"]
    parts = [
        some[[*keys, "verdict"]].assign(text=[estimate_text(row) for _, row in some.iterrows()])
        for some in (one, other)
    ]
    both = parts[0].merge(parts[1], on=keys, how="outer", suffixes=("_A", "_B"))
    both = both.rename(columns={"text_A": "A", "text_B": "B"}).fillna("–")
    return both.assign(same=both["verdict_A"] == both["verdict_B"])


def estimate_text(row: pd.Series) -> str:
    """A row of `claims.verdicts` as text: estimate [low, high], or that there is none."""
    if pd.isna(row["estimate"]):
        return "no number"
    if pd.isna(row["low"]) and pd.isna(row["high"]):
        return f"{row['estimate']:.3g} [no interval]"
    return f"{row['estimate']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
