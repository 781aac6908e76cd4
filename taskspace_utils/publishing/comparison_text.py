"""A comparison of two runs in words, for a terminal: short, the largest differences first."""

from __future__ import annotations

import pandas as pd

from taskspace_utils.comparison import (
    TOLERANCE,
    Cells,
    bands,
    compare_cells,
    compare_claims,
    in_order,
    keyed,
    likely_reasons,
    same_weights,
    some_of,
)
from taskspace_utils.store import InputError
from taskspace_utils.tables import MODEL_KEYS, TABLES, Run


def report(one: Run, other: Run, tolerance: float = TOLERANCE, full: bool = False):
    """All that is to say of two runs, for a terminal.

    Args:
        full: every column of every table, not the one that differs most.

    Returns:
        the text, and the exit status: 0 if the runs share cells and all are within the tolerance,
        else 1.

    Raises:
        InputError: the runs have nothing in common.
    """
    cells = compare_cells(one, other, tolerance)
    modelled = cells.summary["table"].map(lambda name: "model" in TABLES[name][0])
    shared, inside = cells.summary[modelled.astype(bool)], bands(one, other)
    if shared.empty and inside.empty:
        raise InputError(
            f"{one.folder} and {other.folder} have nothing in common: no number of the same "
            f"model, seed, step and task. A has {_extent(one)}; B has {_extent(other)}"
        )
    lines = [f"A  {one.folder}: {_extent(one)}", f"B  {other.folder}: {_extent(other)}", ""]
    lines += _cells_in_words(cells, tolerance, full, likely_reasons(one, other), shared.empty)
    if len(inside):
        lines += ["", "A's cells against the range of B's other seeds (never cell by cell):"]
        lines += [
            f"  {row.table + ' ' + row.column:<24}{row.inside:.0%} of {row.cells} inside the range "
            f"of {row.seeds} seeds; {row.expected:.0%} expected if all are alike"
            for row in inside.itertuples()
        ]
    lines += ["", *_claims_in_words(one, other)]
    agree = len(shared) > 0 and cells.beyond.empty
    return "\n".join(lines), 0 if agree else 1


def _extent(run: Run) -> str:
    names = [name for name in TABLES if run.has(name) and "model" in TABLES[name][0]]
    models = pd.concat([keyed(run, name)[MODEL_KEYS] for name in names[:1]] or [pd.DataFrame()])
    if models.empty:
        return "no models"
    parts = []
    for key in MODEL_KEYS[1:]:
        values = sorted(set(models[key]) - {""}, key=in_order)
        parts += [f"{key} {some_of(values)}"] if values else []
    return "; ".join(parts) or f"model {some_of(sorted(set(models['model'])))}"


def _cells_in_words(cells: Cells, tolerance: float, full: bool, reasons: list, none: bool) -> list:
    lines = []
    if none:
        lines.append("No cell is shared: the runs have no seed of one scale and step in common.")
    else:
        total = cells.summary[["cells", "equal", "within"]].sum()
        n = total["cells"]
        lines += [
            f"{n} cells that both have: {total['equal']} equal to the last digit "
            f"({total['equal'] / n:.2%}), {total['within']} within {tolerance:g} "
            f"({total['within'] / n:.2%})",
            f"  {'table':<10}{'cells':>9}{'equal':>9}{'within':>9}  largest difference (median)",
        ]
    for name, some in cells.summary.groupby("table", sort=False):
        sums = some[["cells", "equal", "within"]].sum()
        row = some.loc[(some["cells"] - some["within"]).add(some["largest"].fillna(0)).idxmax()]
        columns = [row] if not full else [row for _, row in some.iterrows()]
        for place, row in enumerate(columns):
            counted = sums if not full else row
            first = f"  {name if not place else '':<10}{counted['cells']:>9}{counted['equal']:>9}"
            lines.append(f"{first}{counted['within']:>9}  {_size_in_words(row)}")
    for (run, what), some in cells.alone.groupby(["run", "what"], sort=False):
        lines.append(f"only {run} has, in {some_of(some['table'])}: {what}")
    if len(cells.beyond):
        lines += ["", f"{len(cells.beyond)} cells are beyond the tolerance:"]
        for key in ("table", "scale", "seed", "step", "task"):
            counts = cells.beyond[key].value_counts().head(4)
            said = [f"{name} ({count})" for name, count in counts.items() if str(name)]
            if said and len(cells.beyond[key].unique()) < len(cells.beyond):
                lines.append(f"  {key:<7}{', '.join(said)}")
        for row in cells.beyond.head(3).itertuples():
            where = f"{row.model} step {row.step} {row.at}"
            lines.append(f"  {row.table} {row.column}, {where}: {row.one!r} against {row.other!r}")
        lines.append("  " + same_weights(cells))
    if reasons:
        lines += ["", "What differs between the runs:", *(f"  {reason}" for reason in reasons)]
    elif len(cells.beyond):
        lines += ["", "The manifests name no difference that could be a reason."]
    return lines


def _size_in_words(row: pd.Series) -> str:
    if row["equal"] == row["cells"]:
        return "none"
    if pd.isna(row["largest"]):
        return f"{row['column']}: {row['cells'] - row['equal']} differ"
    return f"{row['column']} {row['largest']:.2g} {row['unit']} ({row['median']:.1g})".rstrip()


def _claims_in_words(one: Run, other: Run) -> list[str]:
    from taskspace_utils import claims

    table = compare_claims(claims.verdicts(one), claims.verdicts(other))
    lines = [f"{int(table['same'].sum())} of {len(table)} verdicts on claims are the same:"]
    for row in table.itertuples():
        verdict = row.verdict_A if row.same else f"{row.verdict_A} | {row.verdict_B}"
        lines.append(f"  {row.claim} {row.estimand}: {verdict}")
        if (row.A, row.B) != ("no number", "no number"):
            lines.append(f"      A {row.A}, B {row.B} {row.unit}")
    return lines
