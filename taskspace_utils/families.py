"""Uncertainty whose unit is a family: tasks that obey one rule are no independent witnesses.

Tasks of a family share a rule, and mostly words and frames. So intervals draw whole families, and a
test can take families, not tasks, as what is exchangeable. `scipy.stats.bootstrap` draws single
observations; the cells of a space hang together by both of their tasks, so drawing is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from taskspace_utils import hypotheses, spaces

MIN_FAMILIES = 3  # fewer cannot be drawn in enough ways for an interval


def cell_table(named: dict[str, pd.DataFrame], ordered: bool = False) -> pd.DataFrame:
    """Spaces as one long table over the tasks that have values in all of them, without diagonal.

    Args:
        ordered: all ordered pairs of tasks, for spaces with a direction; else each pair once.

    Returns:
        columns a, b, and one a space.
    """
    names = common(*named.values())
    n = len(names)
    places = np.nonzero(~np.eye(n, dtype=bool)) if ordered else np.triu_indices(n, 1)
    table = pd.DataFrame({"a": names[places[0]], "b": names[places[1]]})
    for name, space in named.items():
        table[name] = space.loc[names, names].to_numpy()[places]
    return table


def common(*some: pd.DataFrame) -> pd.Index:
    """Tasks with values in all spaces; those with the most gaps go first."""
    names = some[0].index
    for other in some[1:]:
        names = names.intersection(other.index)
    gaps = sum(space.loc[names, names].isna() for space in some) > 0
    return spaces.complete(some[0].loc[names, names].fillna(0.0).where(~gaps)).index


def bootstrap(
    table: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], float | pd.Series],
    families: pd.Series,
    ends: tuple[str, ...] = ("a", "b"),
    draws: int = 299,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Percentile intervals of statistics of a table when families of tasks are drawn anew.

    A cell of two families counts as often as both were drawn, one within a family as often as the
    family was. (Two copies of a family have no cells with each other, as a task has none with
    itself; counting them would make likeness within families weigh double in every draw.)

    Args:
        table: one row a cell, or a task; a row's tasks stand in the columns `ends`.
        statistic: of such a table; a number, or a Series of several numbers.
        families: the family of each task, indexed by task. A task without one is its own.

    Returns:
        One row a number: value, low, high. The ends are NaN with fewer than three families, or
        where most draws leave nothing to compute.
    """
    whole = _row(statistic(table))
    units, which = _units(table, families, ends)
    found = []
    if units >= MIN_FAMILIES:
        for drawn in redrawn(units, draws, seed):
            some = table.take(np.repeat(np.arange(len(table)), times(drawn, *which)))
            found.append(
                _row(statistic(some)).reindex(whole.index) if len(some) else whole * np.nan
            )
    result = pd.DataFrame({"value": whole, "low": np.nan, "high": np.nan})
    if found:
        drawn = pd.DataFrame(found)
        ends_of = drawn.quantile([(1 - level) / 2, (1 + level) / 2])
        enough = drawn.notna().mean() >= 0.5
        result["low"], result["high"] = (ends_of.iloc[i].where(enough) for i in (0, 1))
    return result


def redrawn(units: int, draws: int, seed: int = 0) -> np.ndarray:
    """How often each of some families is drawn, with replacement: shape (draws, units)."""
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=draws)


def times(drawn: np.ndarray, *ends: np.ndarray) -> np.ndarray:
    """How often rows count where families were drawn so often; see `bootstrap`.

    Args:
        drawn: shape (..., families).
        ends: places of the families of the rows' tasks, shape (rows); an array an end, one or two.

    Returns:
        shape (..., rows).
    """
    found = drawn[..., ends[0]]
    for place in ends[1:]:
        found = np.where(place == ends[0], found, found * drawn[..., place])
    return found


def interval(
    statistic: Callable[[np.ndarray], float],
    one: Iterable[str],
    other: Iterable[str],
    draws: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """As `bootstrap`, of a statistic that takes weights: its 95 % interval, however few families.

    Args:
        statistic: a function of the cells' weights.
        one: the family of each cell's first task.
        other: that of its second task.
    """
    names, places = np.unique([*one, *other], return_inverse=True)
    weights = times(redrawn(len(names), draws, seed), *np.split(places, 2)).astype(float)
    found = np.array([statistic(weight) for weight in weights])
    found = found[np.isfinite(found)]
    low, high = np.quantile(found, [0.025, 0.975]) if len(found) else (np.nan, np.nan)
    return float(low), float(high)


def _row(found: float | pd.Series) -> pd.Series:
    return found if isinstance(found, pd.Series) else pd.Series({"value": float(found)})


def _units(table: pd.DataFrame, families: pd.Series, ends: tuple[str, ...]) -> tuple[int, list]:
    tasks = pd.concat([table[end] for end in ends])
    names = tasks.map(families.where(families != "")).fillna(tasks)
    codes, found = pd.factorize(names, sort=True)
    return len(found), np.split(codes, len(ends))


def say(row: pd.Series, form: str = ".2f") -> str:
    """A row of `bootstrap` as text: value [low, high]."""
    if np.isnan(row["value"]):
        return "no number"
    if np.isnan(row["low"]):
        return f"{row['value']:{form}} [no interval]"
    return f"{row['value']:{form}} [{row['low']:{form}}, {row['high']:{form}}]"


# ---------------------------------------------------------------------------- families as the tasks


def by_family(space: pd.DataFrame, families: pd.Series) -> pd.DataFrame:
    """The space of families: means over their tasks' cells; a task with itself does not count.

    What tasks of one family have in common is left out; the diagonal is 1. What remains is a table
    in which families can change places: the blocks of the space itself, of different sizes, cannot.
    """
    values = space.where(~np.eye(len(space), dtype=bool))
    names = families.reindex(space.index).to_numpy()
    means = values.groupby(names).sum().T.groupby(names).sum().T
    counts = values.notna().astype(float).groupby(names).sum().T.groupby(names).sum().T
    return (means / counts.where(counts > 0)).where(~np.eye(len(means), dtype=bool), 1.0)


def agreement(
    one: pd.DataFrame,
    other: pd.DataFrame,
    families: pd.Series,
    permutations: int = 999,
    draws: int = 299,
) -> pd.DataFrame:
    """`spaces.agreement` with an interval over families, and once more beyond families.

    Returns:
        rows all and beyond (cells of two tasks of one family left out); columns value (Spearman's
        rho), low, high, p (all: tasks permuted; beyond: families permuted, on `by_family` spaces),
        n (cells).
    """
    table = cell_table({"one": one, "other": other})
    names = common(one, other)
    grouped = [by_family(space.loc[names, names], families) for space in (one, other)]
    rest = _apart(table, families)
    parts = [bootstrap(some, spearman, families, draws=draws) for some in (table, rest)]
    p = [_p_of_agreement(*some, permutations) for some in ((one, other), grouped)]
    return pd.concat(parts).set_axis(["all", "beyond"]).assign(p=p, n=[len(table), len(rest)])


def _p_of_agreement(one: pd.DataFrame, other: pd.DataFrame, permutations: int) -> float:
    names = common(one, other)
    flat = any(
        np.ptp(spaces.cells(s.loc[names, names])) == 0 for s in (one, other) if len(names) > 1
    )
    return np.nan if len(names) < 4 or flat else spaces.agreement(one, other, permutations)[1]


def _apart(table: pd.DataFrame, families: pd.Series) -> pd.DataFrame:
    """The cells of tasks of different families."""
    return table[table["a"].map(families) != table["b"].map(families)]


def spearman(table: pd.DataFrame) -> float:
    """Rank correlation of the columns one and other."""
    if min(table["one"].nunique(), table["other"].nunique()) < 2:
        return np.nan
    return float(table["one"].rank().corr(table["other"].rank()))


def within_between(
    space: pd.DataFrame,
    groups: pd.Series,
    families: pd.Series,
    permutations: int = 999,
    draws: int = 299,
) -> pd.DataFrame:
    """Means within and between groups, and their difference, with intervals over families.

    Returns:
        rows within, between, difference, and beyond (the difference without cells of two tasks of
        one family); columns value, low, high, p (difference: tasks permuted, one-sided; beyond:
        families permuted, two-sided, NaN where no such cell is within a group), n (cells).
    """
    table = space.rename_axis(index="a", columns="b").stack(future_stack=True).rename("value")
    table = table.reset_index().query("a < b and value == value")
    table["same"] = table["a"].map(groups) == table["b"].map(groups)
    rest = _apart(table, families)
    parts = [bootstrap(some, _kin, families, draws=draws) for some in (table, rest)]
    result = pd.concat([parts[0], parts[1].loc[["difference"]].set_axis(["beyond"])])
    found = spaces.within_between(space, groups, permutations)
    labels = groups.reindex(space.index).to_numpy()
    same = pd.DataFrame((labels[:, None] == labels).astype(float), space.index, space.index)
    p = _p_of_families(space, {"same": same}, families, permutations)
    result["p"] = [np.nan, np.nan, found["p"], p.get("same", np.nan)]
    result["n"] = [found["n_within"], found["n_between"], len(table), len(rest)]
    return result


def _p_of_families(
    space: pd.DataFrame, named: dict[str, pd.DataFrame], families: pd.Series, permutations: int
) -> dict[str, float]:
    """p of `hypotheses.regress` on `by_family` spaces, of hypotheses that vary between them."""
    names = common(space, *named.values())
    means = by_family(space.loc[names, names], families)
    grouped = {name: by_family(some.loc[names, names], families) for name, some in named.items()}
    if len(common(means, *grouped.values())) < 5:
        return {}
    varied = {n: some for n, some in grouped.items() if np.ptp(spaces.cells(some)) > 1e-12}
    if not varied:
        return {}
    return hypotheses.regress(means, varied, permutations).set_index("hypothesis")["p"].to_dict()


def _kin(table: pd.DataFrame) -> pd.Series:
    values, same = table["value"].to_numpy(), table["same"].to_numpy()
    within = values[same].mean() if same.any() else np.nan
    between = values[~same].mean() if not same.all() else np.nan
    return pd.Series({"within": within, "between": between, "difference": within - between})


def nearest(
    space: pd.DataFrame, groups: pd.Series, families: pd.Series, draws: int = 299
) -> pd.DataFrame:
    """`spaces.nearest_shares_group` with an interval: families of tasks are drawn, not neighbours.

    Each task keeps the neighbour that it has among all tasks; drawn twice, it counts twice.
    """
    hits = {task: spaces.nearest_shares_group(_alone(space, task), groups) for task in space.index}
    table = pd.Series(hits, dtype=float).rename("hit").rename_axis("a").dropna().reset_index()
    return bootstrap(table, lambda some: some["hit"].mean(), families, ("a",), draws)


def _alone(space: pd.DataFrame, task: str) -> pd.DataFrame:
    """The space with one row left, so that a share over tasks is that of one task."""
    return space.where(np.tile(space.index == task, (len(space), 1)).T)


def regress(
    space: pd.DataFrame,
    named: dict[str, pd.DataFrame],
    families: pd.Series,
    permutations: int = 999,
    draws: int = 299,
) -> pd.DataFrame:
    """`hypotheses.regress` with intervals over families and the p of permuting families.

    `p_families` is that of the same regression on `by_family` spaces: NaN where fewer than five
    families are left, or a hypothesis says the same of all pairs of different families.

    Returns:
        hypothesis, slope, low, high, p, p_families, r2, vif, n_tasks, n_families.
    """
    result = hypotheses.regress(space, named, permutations)
    names = common(space, *named.values())
    table = cell_table({"space": space, **named})
    ends = bootstrap(table, lambda some: slopes(some, list(named)), families, draws=draws)
    result = result.merge(ends[["low", "high"]], left_on="hypothesis", right_index=True)
    unknown = ~np.isfinite(result["vif"].to_numpy())  # the others contain it: any slope would do
    result.loc[unknown, ["low", "high"]] = np.nan
    p = _p_of_families(space, named, families, permutations)
    result["p_families"] = result["hypothesis"].map(p).astype(float)
    result["n_families"] = families.reindex(names).nunique()
    columns = ["hypothesis", "slope", "low", "high", "p", "p_families", "r2", "vif"]
    return result[[*columns, "n_tasks", "n_families"]]


def slopes(table: pd.DataFrame, named: list[str]) -> pd.Series:
    """Standardised slopes of the column space on others; NaN for one that does not vary here."""
    some = table[["space", *named]].to_numpy()
    spread = some.std(axis=0)
    varied = spread > 1e-12
    found = np.full(len(named), np.nan)
    if varied[0] and varied[1:].any():
        z = (some[:, varied] - some[:, varied].mean(axis=0)) / spread[varied]
        found[varied[1:]] = np.linalg.lstsq(z[:, 1:], z[:, 0], rcond=None)[0]
    return pd.Series(found, index=named)
