"""Claims: the ledger of the paper's findings, and verdicts on them from a run's tables.

`data/claims.yml` was written before the run that it judges. Here it is read and checked, and its
rules are carried out: no verdict is typed anywhere, and none is made without numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd

from taskspace_utils import estimands
from taskspace_utils.measured import Estimate, Measured, NotMeasured
from taskspace_utils.store import InputError, data_path
from taskspace_utils.tables import Run
from taskspace_utils.yaml_files import read_yaml

VERDICTS = ("consistent", "contrary", "negligible", "undetermined", "not attempted")
RULES = ("positive", "non-inferior", "at least", "at most")
KINDS = ("replication", "conceptual", "demonstration")
SOURCES = ("abstract", "digest")
COLUMNS = ["claim", "estimand", "estimate", "low", "high", "unit", "smallest", "verdict",
           "n_seeds", "kind", "figure", "n_tasks", "n_cells", "n_families", "note"]  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One claim of the ledger; `data/README.md` says what its fields mean."""

    id: str
    finding: str
    statement: str
    source: str
    estimand: str
    options: dict
    words: str
    unit: str
    rule: str
    smallest: float
    why: str
    kind: str
    attempted: dict
    development: str
    figure: str
    falsified: str
    variants: tuple[dict, ...] = ()
    shown_also: tuple[str, ...] = ()
    decided: str = ""
    minimum_seeds: int = 1
    confirmatory: dict = field(default_factory=dict)


# --------------------------------------------------------------------------------------- the ledger


def ledger(path: str | Path | None = None) -> list[Claim]:
    """The claims of `data/claims.yml`, checked.

    Raises:
        InputError: the ledger is not as its card says; names the file and the claim.
    """
    path = Path(path) if path else data_path("claims.yml")
    whole = read_yaml(path, dict)
    need = {"confirmatory_seeds", "minimum_seeds", "decided", "claims"}
    if set(whole) != need:
        raise InputError(f"{path}: should have {', '.join(sorted(need))}, not {', '.join(whole)}")
    least, seeds = whole["minimum_seeds"], whole["confirmatory_seeds"]
    if type(least) is not int or least < 2:
        raise InputError(f"{path}: minimum_seeds must be a whole number above 1, not {least!r}")
    if not isinstance(seeds, dict) or not all(isinstance(some, list) for some in seeds.values()):
        raise InputError(f"{path}: confirmatory_seeds must be lists of seeds by language")
    common = {"decided": str(whole["decided"]), "minimum_seeds": least, "confirmatory": seeds}
    if not isinstance(whole["claims"], list):
        raise InputError(f"{path}: claims must be a list")
    found = [_claim(path, number, given, common) for number, given in enumerate(whole["claims"], 1)]
    names = [claim.id for claim in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{path}: claim {', '.join(sorted(twice))} stands there twice")
    return found


def _claim(path: Path, number: int, given: object, common: dict) -> Claim:
    name = given.get("id", f"number {number}") if isinstance(given, dict) else f"number {number}"
    where = f"{path}, claim {name}"
    if not isinstance(given, dict):
        raise InputError(f"{where}: should be a mapping")
    known = {f.name for f in fields(Claim)} - {*common}
    needed = known - {"variants", "shown_also"}
    if wrong := set(given) - known:
        raise InputError(f"{where}: unknown key {', '.join(sorted(map(str, wrong)))}")
    if missing := needed - set(given):
        raise InputError(f"{where}: missing {', '.join(sorted(missing))}")
    for key in needed - {"options", "attempted", "smallest"}:
        if not isinstance(given[key], str) or not given[key].strip():
            raise InputError(f"{where}: {key} should be text, not {given[key]!r}")
    for key, allowed in (("rule", RULES), ("kind", KINDS), ("source", SOURCES)):
        if given[key] not in allowed:
            raise InputError(f"{where}: {key} is one of {', '.join(allowed)}, not {given[key]!r}")
    if type(given["smallest"]) not in (int, float) or not 0 < given["smallest"] < np.inf:
        raise InputError(f"{where}: smallest must be a number above 0, not {given['smallest']!r}")
    if not isinstance(given["attempted"], dict) or set(given["attempted"]) != ATTEMPTED:
        raise InputError(f"{where}: attempted must have {', '.join(sorted(ATTEMPTED))}")
    lists = {key: tuple(given.get(key) or ()) for key in ("variants", "shown_also")}
    for variant in lists["variants"]:
        if not isinstance(variant, dict) or set(variant) != {"choice", "options"}:
            raise InputError(f"{where}: a variant has choice and options, not {variant!r}")
    for options in (given["options"], *(variant["options"] for variant in lists["variants"])):
        _check_options(where, given["estimand"], given["options"], options)
    return Claim(**given | lists | common)


ATTEMPTED = {"run", "scales", "steps"}


def _check_options(where: str, name: str, own: object, options: object) -> None:
    function = getattr(estimands, name, None)
    if name.startswith("_") or getattr(function, "__module__", "") != estimands.__name__:
        raise InputError(f"{where}: no estimand named {name!r} in {estimands.__name__}")
    if not isinstance(own, dict) or not isinstance(options, dict):
        raise InputError(f"{where}: options should be a mapping of the estimand's arguments")
    try:
        inspect.signature(function).bind(None, **own | options)
    except TypeError as error:
        raise InputError(f"{where}: options of {name}: {error}") from error


# ----------------------------------------------------------------------------------------- verdicts


def verdict(rule: str, smallest: float, low: float, high: float) -> str:
    """The verdict of an interval by a rule; the head of `data/claims.yml` has them side by side.

    Raises:
        ValueError: there is no such rule, or the interval's ends are not numbers in order.
    """
    if not low <= high:
        raise ValueError(f"no interval: from {low} to {high}")
    consistent, contrary = {
        "positive": (low > smallest, high < -smallest),
        "non-inferior": (low > -smallest, high < -smallest),
        "at least": (low >= smallest, high < smallest),
        "at most": (high <= smallest, low > smallest),
    }.get(rule) or _unknown(rule)
    if consistent or contrary:
        return "consistent" if consistent else "contrary"
    small = rule == "positive" and -smallest <= low and high <= smallest
    return "negligible" if small else "undetermined"


def _unknown(rule: str) -> None:
    raise ValueError(f"no rule {rule!r}; there are {', '.join(RULES)}")


def seeds_of(run: Run, claim: Claim) -> tuple[int, ...]:
    """The run's confirmatory seeds; all of its seeds, where it has none of these."""
    table = run.table("tasks") if run.has("tasks") else pd.DataFrame({"seed": []})
    have = [int(seed) for seed in sorted(table["seed"].unique()) if seed not in ("", None)]
    language = run.manifest.get("parameters", {}).get("language", "grammar")
    chosen = [seed for seed in have if seed in claim.confirmatory.get(language, have)]
    return tuple(chosen or have)


def verdicts(
    run: Run, which: Iterable[str] | None = None, seeds: Iterable[int] | None = None
) -> pd.DataFrame:
    """A verdict on each claim, by its rule.

    Args:
        which: ids of claims; all by default.
        seeds: whose models count; `seeds_of` by default. The ledger's verdicts are those.

    Returns:
        One row a claim: claim, estimand, estimate, low, high (95 % interval), unit, smallest,
        verdict, n_seeds, kind, figure; n_tasks and n_cells of the model that has the fewest,
        n_families, and a note that says why a claim was not attempted.

    Raises:
        InputError: there is no such claim.
    """
    return pd.DataFrame([row for _, row, _ in _rows(run, which, seeds, False)], columns=COLUMNS)


def sensitivity(
    run: Run, which: Iterable[str] | None = None, seeds: Iterable[int] | None = None
) -> pd.DataFrame:
    """The verdicts as they are, and as they would be with one uncertain choice made the other way.

    Returns:
        The columns of `verdicts`, after `choice` (an element of `data/paper.yml`; empty for the
        ledger's own) and `changed` (the options that differ, as text), with `same`: whether the
        verdict is the ledger's.
    """
    rows, own = [], ""
    for variant, row, _ in _rows(run, which, seeds, True):
        own = row["verdict"] if variant is None else own
        choice, options = ("", {}) if variant is None else (variant["choice"], variant["options"])
        changed = ", ".join(f"{key} {value}" for key, value in options.items())
        rows.append({"choice": choice, "changed": changed, **row, "same": row["verdict"] == own})
    return pd.DataFrame(rows, columns=["choice", "changed", *COLUMNS, "same"])


def points(
    run: Run, which: Iterable[str] | None = None, seeds: Iterable[int] | None = None
) -> pd.DataFrame:
    """What each seed gives by itself: columns claim, seed, estimate."""
    rows = [
        {"claim": row["claim"], "seed": seed, "estimate": value}
        for _, row, found in _rows(run, which, seeds, False)
        for seed, value in (found.points.items() if found else ())
    ]
    return pd.DataFrame(rows, columns=["claim", "seed", "estimate"])


def _rows(run: Run, which, seeds, variants: bool):
    claims = {claim.id: claim for claim in ledger()}
    asked = list(claims) if which is None else list(which)
    if unknown := [name for name in asked if name not in claims]:
        raise InputError(f"no claim {', '.join(unknown)}; there are {', '.join(claims)}")
    measured: dict[tuple, Measured] = {}  # the tables are read once
    for claim in (claims[name] for name in asked):
        chosen = tuple(seeds) if seeds is not None else seeds_of(run, claim)
        for variant in (None, *(claim.variants if variants else ())):
            found, note = None, ""
            try:
                if chosen not in measured:
                    measured[chosen] = Measured(run, chosen)
                found = _estimated(measured[chosen], claim, variant)
            except NotMeasured as error:
                note = str(error)
            yield variant, _row(claim, found, note), found


def _estimated(of: Measured, claim: Claim, variant: dict | None) -> Estimate:
    options = claim.options | (variant["options"] if variant else {})
    chosen = {}
    for name, value in options.items():
        if isinstance(value, dict):
            if of.language not in value:
                raise NotMeasured(f"the ledger has no {name} for {of.language}")
            value = value[of.language]
        chosen[name] = value
    return getattr(estimands, claim.estimand)(of, **chosen)


def _row(claim: Claim, found: Estimate | None, note: str) -> dict:
    numbers = (found.value, found.low, found.high) if found else (np.nan,) * 3
    counts = (found.n_tasks, found.n_cells, found.n_families) if found else (0, 0, 0)
    n_seeds = len(found.points) if found else 0
    if found and not np.isfinite(numbers).all():
        note = "no interval: too few families"
    elif found and n_seeds < claim.minimum_seeds:
        note = f"seeds: {n_seeds}, of at least {claim.minimum_seeds}"
    said = "not attempted" if note else verdict(claim.rule, claim.smallest, *numbers[1:])
    return dict(zip(COLUMNS, (claim.id, claim.estimand, *numbers, claim.unit, claim.smallest, said,
                              n_seeds, claim.kind, claim.figure, *counts, note),
                    strict=True))  # fmt: skip
