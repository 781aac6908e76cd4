"""The atlas: one space of tasks after another, as heat map and map, down to the pairs of a cell."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
import pandas as pd
from matplotlib import colors, image

from taskspace_utils import figures, maps, spaces
from taskspace_utils.explore.atlas_page import LIVE, SCRIPT, STYLE
from taskspace_utils.explore.frame import frame
from taskspace_utils.explore.markup import Html
from taskspace_utils.explore.words import difference
from taskspace_utils.figures.space import LABELS, only
from taskspace_utils.store import InputError
from taskspace_utils.tables import Run

Views = dict[tuple[str, int, str], pd.DataFrame]
TRANSFER = ("transfer", "relative")


def views(run: Run, measures: tuple[str, ...], tuning: str | None = None, **where) -> Views:
    """All spaces of a run: means over seeds, by scale, step and measure.

    Args:
        measures: columns of `gradient.csv`; or "transfer" (Δm, nats) and "relative" (τ).
        tuning: whose transfer; the run's first by default.
        where: which models, such as scale="M".
    """
    found: Views = {}
    for measure in measures:
        table = only(run.table("transfer" if measure in TRANSFER else "gradient"), where)
        if measure in TRANSFER:
            table = table[table["tuning"] == (tuning or sorted(table["tuning"].unique())[0])]
        for (scale, step), some in table.groupby(["scale", "step"]):
            seeds = [
                spaces.transfer(one, measure == "relative") if measure in TRANSFER
                else spaces.square(one, measure)
                for _, one in some.groupby("seed")
            ]  # fmt: skip
            mean = pd.concat(seeds).groupby(level=0).mean()
            found[str(scale), int(step), measure] = mean.sort_index().sort_index(axis=1)
    return found


def space(
    shown: Views,
    phenomenon: pd.Series,
    pairs: pd.DataFrame | None = None,
    n: int = 2,
    first: tuple[str, int, str] | None = None,
) -> Html:
    """Slide through scales and steps; choose a cell, and see both tasks, the number, and pairs.

    Cosines come with a map, each turned onto that of the last model and step.

    Args:
        shown: spaces by scale, step and measure, such as `views` gives; a measure's colours have
            one scale in all of them.
        phenomenon: of each task. Tasks without one are left out (controls, for example).
        pairs: a table of pairs, the first `n` of each task travel with the page; None for none.
        first: the space that is seen at first, and on paper; by default the last one of the first
            measure.

    Raises:
        InputError: there is no space, or no task of the spaces has a phenomenon.
    """
    if not shown:
        raise InputError("no space to show: name at least one measure of one model")
    known = set().union(*(one.index for one in shown.values()))
    names = phenomenon[phenomenon.index.isin(known)].rename("phenomenon").rename_axis("task")
    table = names.reset_index().sort_values(["phenomenon", "task"])
    tasks = list(table["task"])
    if not tasks:
        raise InputError("no task of these spaces has a phenomenon")
    shown = {key: one.reindex(index=tasks, columns=tasks) for key, one in shown.items()}
    first = first or [key for key in shown if key[2] == next(iter(shown))[2]][-1]
    looks = figures.look(names)
    measures = list(dict.fromkeys(measure for *_, measure in shown))
    limits = {measure: limit(shown, measure) for measure in measures}
    data = {
        "tasks": [figures.readable(task) for task in tasks],
        "of": [list(looks).index(name) for name in table["phenomenon"]],
        "phenomena": [
            # black would be lost on a dark page
            [figures.readable(name), colour.replace("#000000", "currentColor"), marker]
            for name, (colour, marker) in looks.items()
        ],
        "measures": [[measure, LABELS.get(measure, figures.readable(measure)), limits[measure]]
                     for measure in measures],
        "colours": [colors.to_hex(figures.DIVERGING(i / 64)) for i in range(65)],
        "keys": [list(key) for key in shown],
        "cells": [_thousandths(one.to_numpy()) for one in shown.values()],
        "maps": _maps(shown),
        "pairs": [] if pairs is None else [_pairs(pairs, task, n) for task in tasks],
        "first": list(shown).index(first),
    }  # fmt: skip
    scale, step, measure = first
    seen = f"{data['measures'][measures.index(measure)][1]}, scale {scale}, step {step}"
    return frame(data, LIVE, _still(shown[first], limits[measure], seen), SCRIPT, STYLE)


def limit(shown: Views, measure: str) -> float:
    """Where the colours of a measure end: 1 for what goes from −1 to 1, else nearly the largest."""
    if measure.startswith("cosine") or measure == "relative":
        return 1.0
    off = [one.to_numpy()[~np.eye(len(one), dtype=bool)] for key, one in shown.items()
           if key[2] == measure]  # fmt: skip
    sizes = np.abs(np.concatenate(off))
    sizes = sizes[np.isfinite(sizes)]
    return float(f"{np.quantile(sizes, 0.98):.3g}") or 1.0 if len(sizes) else 1.0


def _thousandths(values: np.ndarray) -> list[int | None]:
    """All cells row by row; of a symmetric space those from the diagonal on, half as many."""
    symmetric = np.allclose(values, values.T, atol=5e-4, equal_nan=True)
    kept = values[np.triu_indices(len(values))] if symmetric else values.ravel()
    return [round(1000 * x) if np.isfinite(x) else None for x in kept.tolist()]


def _maps(shown: Views) -> list[list | None]:
    """A map for each space of cosines with at least four tasks; None for the others."""
    placed = {}
    for key, one in shown.items():
        known = spaces.complete(spaces.symmetric(one)) if key[2].startswith("cosine") else []
        if len(known) >= 4:
            placed[key] = spaces.task_map(known)[0]
    if placed:
        last = next(reversed(placed))
        # what has fewer than three tasks in common with the last cannot be turned onto it
        placed = {k: p for k, p in placed.items()
                  if len(p.index.intersection(placed[last].index)) > 2}  # fmt: skip
        placed = maps.aligned(placed, last)
    return [
        [None if np.isnan(x) else [round(1000 * x), round(1000 * y)]
         for x, y in placed[key].reindex(one.index).to_numpy().tolist()]
        if key in placed else None
        for key, one in shown.items()
    ]  # fmt: skip


def _pairs(pairs: pd.DataFrame, task: str, n: int) -> list[tuple[str, ...]]:
    some = pairs[pairs["task"] == task].head(n)
    return [difference(good, bad) for good, bad in zip(some["good"], some["bad"], strict=True)]


def pixels(one: pd.DataFrame, limit: float, size: int = 6) -> bytes:
    """A space as a PNG file, `size` × `size` pixels a cell, in the colours of all figures."""
    seen = figures.DIVERGING(np.ma.masked_invalid((one.to_numpy() / limit + 1) / 2))
    file = io.BytesIO()
    image.imsave(file, np.kron(seen, np.ones((size, size, 1))), format="png")
    return file.getvalue()


def _still(one: pd.DataFrame, limit: float, seen: str) -> str:
    source = base64.b64encode(pixels(one, limit)).decode()
    said = html.escape(f"{seen}; {len(one)} tasks by {len(one)} tasks, phenomena side by side, "
                       f"from blue at −{limit:g} to red at {limit:g}")  # fmt: skip
    return (
        f'<img src="data:image/png;base64,{source}" width="400" alt="Heat map: {said}" />'
        f"<p>{said}.</p>"
    )
