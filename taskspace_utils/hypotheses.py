"""Hypotheses: spaces that theory predicts, lexical controls, and tests of one against the other.

A hypothesis space has a 1 where two tasks should be similar and a 0 where not. Tables of them are
data (`data/hypotheses/`): one row a task, one column a hypothesis, equal labels mean the same.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from taskspace_utils.checks import bag_difference
from taskspace_utils.spaces import cells, complete, square
from taskspace_utils.store import InputError


def same_label(tasks: pd.DataFrame, column: str) -> pd.DataFrame:
    """A hypothesis space: 1 where two tasks have the same label, else 0; no label is like no other.

    Args:
        tasks: one row a task, with the columns `task` and `column`.

    Raises:
        InputError: there is no such column.
    """
    if column not in tasks:
        raise InputError(f"no hypothesis {column!r}; the table has {', '.join(tasks.columns)}")
    names = tasks["task"].to_numpy()
    labels = tasks[column].astype(str).to_numpy()
    same = (labels[:, None] == labels[None, :]) & (labels != "")[:, None]
    return (
        pd.DataFrame(same.astype(float), index=names, columns=names).sort_index().sort_index(axis=1)
    )


def lexical_diff(pairs: pd.DataFrame) -> pd.DataFrame:
    """Cosines of the tasks' summed signed bag-of-words differences (chapter 9, equation 9.1).

    For pairs of equal length this is exactly the gradient space of a unigram model: the part of a
    task space that needs no grammar. NaN for a task whose bags never differ.

    Returns:
        columns a, b, lexical_diff; one row an ordered pair of tasks.
    """
    matrix, _ = bag_difference(pairs)
    names = np.array(sorted(pairs["task"].unique()))
    member = (pairs["task"].to_numpy()[None, :] == names[:, None]).astype(float)
    total = member @ matrix.toarray() if matrix.shape[1] else np.zeros((len(names), 1))
    size = np.linalg.norm(total, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = total @ total.T / np.outer(size, size)
    a, b = np.divmod(np.arange(len(names) ** 2), len(names))
    return pd.DataFrame({"a": names[a], "b": names[b], "lexical_diff": cosine[a, b]})


def lexical_space(table: pd.DataFrame) -> pd.DataFrame:
    """`lexical_diff` as a space; a task without lexical difference is like no other (0)."""
    space = square(table, "lexical_diff").fillna(0.0)
    np.fill_diagonal(values := space.to_numpy(copy=True), 1.0)
    return pd.DataFrame(values, index=space.index, columns=space.columns)


def regress(
    space: pd.DataFrame,
    hypotheses: dict[str, pd.DataFrame],
    permutations: int = 999,
    seed: int = 0,
) -> pd.DataFrame:
    """Explain a symmetric space by several others at once (chapter 9, equation 9.2).

    Ordinary least squares on the cells above the diagonal, all variables standardised. Each p comes
    from double semi-partialling (Dekker, Krackhardt & Snijders, Psychometrika 72, 2007): the part
    of a hypothesis that the others do not explain is permuted by task, and its t recomputed.

    Returns:
        One row a hypothesis: hypothesis, slope (in standard deviations), p (two-sided), r2 of
        the whole model, vif (variance inflation), n_tasks.

    Raises:
        InputError: fewer than five tasks have values everywhere.
    """
    names = space.index
    for other in hypotheses.values():
        names = names.intersection(other.index)
    gaps = sum(s.loc[names, names].isna() for s in (space, *hypotheses.values())) > 0
    names = complete(space.loc[names, names].where(~gaps)).index
    space = space.loc[names, names]
    if len(names) < 5:
        raise InputError(
            f"{len(names)} tasks have values in all spaces; a regression needs at least 5"
        )
    y = _standard(cells(space))
    x = {name: _standard(cells(h.loc[names, names])) for name, h in hypotheses.items()}
    for name, column in x.items():
        if not np.isfinite(column).all():
            raise InputError(f"hypothesis {name!r} is the same for all pairs of these tasks")
    rng = np.random.default_rng(seed)
    upper = np.triu_indices(len(names), 1)
    everything = np.column_stack([np.ones_like(y), *x.values()])
    fitted = everything @ np.linalg.lstsq(everything, y, rcond=None)[0]
    r2 = 1 - float(((y - fitted) ** 2).sum() / (y**2).sum())
    rows = []
    for name, column in x.items():
        rest = np.column_stack([np.ones_like(y), *(v for n, v in x.items() if n != name)])
        residual = column - rest @ np.linalg.lstsq(rest, column, rcond=None)[0]
        slope, t = _last_slope(rest, residual, y)
        matrix = np.zeros((len(names), len(names)))
        matrix[upper] = residual
        matrix += matrix.T
        beyond = 0
        for _ in range(permutations):
            order = rng.permutation(len(names))
            beyond += (
                abs(_last_slope(rest, matrix[np.ix_(order, order)][upper], y)[1]) >= abs(t) - 1e-9
            )
        unexplained = float(residual @ residual / (column @ column))
        rows.append(
            {
                "hypothesis": name,
                "slope": slope,
                "p": (beyond + 1) / (permutations + 1),
                "r2": r2,
                "vif": 1 / unexplained if unexplained > 1e-12 else np.inf,
                "n_tasks": len(names),
            }
        )
    return pd.DataFrame(rows)


def _standard(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return (values - values.mean()) / values.std()


def _last_slope(rest: np.ndarray, column: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and t of `column` beside `rest`."""
    design = np.column_stack([rest, column])
    slopes = np.linalg.lstsq(design, y, rcond=None)[0]
    error = y - design @ slopes
    free = max(1, len(y) - design.shape[1])
    part = column - rest @ np.linalg.lstsq(rest, column, rcond=None)[0]
    scale = np.sqrt((error @ error) / free / max(part @ part, 1e-300))
    return float(slopes[-1]), float(slopes[-1] / max(scale, 1e-300))
