"""Hypotheses: spaces that theory predicts, lexical controls, and tests of one against the other.

A hypothesis space has a 1 where two tasks should be similar and a 0 where not. Tables of them are
data (`data/hypotheses/`): one row a task, one column a hypothesis, equal labels mean the same.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from taskspace_utils.checks import bag_difference
from taskspace_utils.spaces import cells, complete, square
from taskspace_utils.store import InputError

DEMAND = re.compile(r"-?[^\W\d]\w*")


def same_label(tasks: pd.DataFrame, column: str) -> pd.DataFrame:
    """A hypothesis space: 1 where two tasks have the same label, else 0; no label is like no other.

    Args:
        tasks: one row a task, with the columns `task` and `column`.

    Raises:
        InputError: there is no such column, or a task has two rows.
    """
    labels = _column(tasks, column)
    names = tasks["task"].to_numpy()
    same = (labels[:, None] == labels[None, :]) & (labels != "")[:, None]
    return (
        pd.DataFrame(same.astype(float), index=names, columns=names).sort_index().sort_index(axis=1)
    )


def signed_sharing(tasks: pd.DataFrame, column: str = "demands") -> pd.DataFrame:
    """A hypothesis space with signs: cosines of what the tasks' rules look at, and which way.

    A cell such as `pronoun_gender -local_subject` is a vector with +1 for each name, −1 for each
    name with a minus and 0 for all others. A task without demands is like no other (0).

    Args:
        tasks: one row a task, with the columns `task` and `column`.

    Raises:
        InputError: there is no such column, a task has two rows, or a cell is no list of different
            names.
    """
    labels = _column(tasks, column)
    names = tasks["task"].to_numpy()
    columns: dict[str, int] = {}
    signs: list[dict[int, float]] = []
    for task, text in zip(names, labels, strict=True):
        signs.append({})
        for demand in text.split():
            if not DEMAND.fullmatch(demand):
                raise InputError(
                    f"task {task!r}, column {column!r}: {demand!r} is no name; write names such as "
                    "verb_number or -local_subject with spaces between them"
                )
            place = columns.setdefault(demand.removeprefix("-"), len(columns))
            if place in signs[-1]:
                raise InputError(
                    f"task {task!r}, column {column!r}: {demand.removeprefix('-')!r} stands there "
                    "twice; name each feature once, with or without a minus"
                )
            signs[-1][place] = -1.0 if demand.startswith("-") else 1.0
    vectors = np.zeros((len(names), len(columns)))
    for row, of_task in zip(vectors, signs, strict=True):
        row[list(of_task)] = list(of_task.values())
    size = np.sqrt(np.maximum((vectors**2).sum(axis=1), 1))
    cosines = vectors @ vectors.T / np.outer(size, size)
    np.fill_diagonal(cosines, 1.0)
    return pd.DataFrame(cosines, index=names, columns=names).sort_index().sort_index(axis=1)


def _column(tasks: pd.DataFrame, column: str) -> np.ndarray:
    if column not in tasks:
        raise InputError(f"no hypothesis {column!r}; the table has {', '.join(tasks.columns)}")
    if "task" not in tasks:
        raise InputError(f"no column 'task'; the table has {', '.join(tasks.columns)}")
    if twice := list(tasks["task"][tasks["task"].duplicated()]):
        raise InputError(f"task {twice[0]!r} has two rows; a table of hypotheses has one a task")
    labels = ["" if pd.isna(cell) else str(cell).strip() for cell in tasks[column]]
    return np.array(labels, dtype=object)


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
    total = csr_matrix(member) @ matrix
    total = total.toarray() if matrix.shape[1] else np.zeros((len(names), 1))
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
        InputError: fewer than five tasks have values everywhere; the space or a hypothesis is the
            same for all pairs of them, or not finite.
    """
    if not hypotheses:
        raise InputError("no hypotheses: name at least one")
    if permutations < 1:
        raise InputError(f"permutations is {permutations}; it must be at least 1")
    space, *others = _common(space, *hypotheses.values())
    names = space.index
    y = _standard(cells(space), "the space")
    x = _predictors(dict(zip(hypotheses, others, strict=True)))
    vif = _inflation(x)
    rng = np.random.default_rng(seed)
    upper = np.triu_indices(len(names), 1)
    everything = np.column_stack([np.ones_like(y), *x.values()])
    fitted = everything @ np.linalg.lstsq(everything, y, rcond=None)[0]
    r2 = 1 - float(((y - fitted) ** 2).sum() / (y**2).sum())
    rows = []
    for name in x:
        rest, residual = _beside(x, name)
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
        rows.append(
            {
                "hypothesis": name,
                "slope": slope,
                "p": (beyond + 1) / (permutations + 1),
                "r2": r2,
                "vif": vif[name],
                "n_tasks": len(names),
            }
        )
    return pd.DataFrame(rows)


def inflation(hypotheses: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """How far hypotheses can be told apart: the variance inflation factor of each beside the rest.

    1: nothing of it is in the others; 10: the others explain nine tenths of it; infinite: all. It
    depends on the tasks alone, so it can be read before anything is measured.

    Args:
        hypotheses: symmetric spaces; the tasks that have values in all of them count.

    Returns:
        One row a hypothesis: hypothesis, vif.

    Raises:
        InputError: fewer than five such tasks, or a hypothesis that is the same for all pairs.
    """
    if not hypotheses:
        raise InputError("no hypotheses: name at least one")
    vif = _inflation(_predictors(dict(zip(hypotheses, _common(*hypotheses.values()), strict=True))))
    return pd.DataFrame({"hypothesis": list(vif), "vif": list(vif.values())})


def _common(*spaces: pd.DataFrame) -> list[pd.DataFrame]:
    """The spaces cut to the tasks that have values in all of them."""
    names = spaces[0].index
    for other in spaces[1:]:
        names = names.intersection(other.index)
    gaps = sum(s.loc[names, names].isna() for s in spaces) > 0
    names = complete(spaces[0].loc[names, names].where(~gaps)).index
    if len(names) < 5:
        raise InputError(
            f"{len(names)} tasks have values in all spaces; a regression needs at least 5"
        )
    return [s.loc[names, names] for s in spaces]


def _predictors(hypotheses: dict[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    return {name: _standard(cells(h), f"hypothesis {name!r}") for name, h in hypotheses.items()}


def _beside(x: dict[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """All predictors but one, with a constant; and what they leave unexplained of that one."""
    rest = np.column_stack([np.ones_like(x[name]), *(v for n, v in x.items() if n != name)])
    return rest, x[name] - rest @ np.linalg.lstsq(rest, x[name], rcond=None)[0]


def _inflation(x: dict[str, np.ndarray]) -> dict[str, float]:
    # columns have variance 1: the mean square of what is left is a share
    left = {name: float((_beside(x, name)[1] ** 2).mean()) for name in x}
    return {name: 1 / share if share > 1e-12 else np.inf for name, share in left.items()}


def _standard(values: np.ndarray, what: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise InputError(f"{what} has values that are not finite")
    if np.ptp(values) == 0:
        raise InputError(f"{what} is the same for all pairs of these tasks")
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
