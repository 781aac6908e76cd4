"""Gradient and transfer spaces of every scale as heat maps in one order: means over seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures, spaces
from taskspace_utils.tables import Run

SPACES = {"cosine_corrected": "corrected cosine", "cosine": "cosine",
          "transfer": "relative transfer"}  # fmt: skip


def load(run: Run, value: str = "cosine_corrected", step: int | None = None) -> pd.DataFrame:
    """Mean cells over the seeds that have them, of the run's smallest mask, at one step.

    Args:
        value: the column of `gradient.csv`.
        step: one at which transfer was measured; the last such step by default.

    Returns:
        columns profile, scale, space, source, target, value, phenomenon (of source), n_seeds.
    """
    moved, tasks = run.table("transfer"), run.table("tasks").drop_duplicates("task")
    step = int(moved["step"].max()) if step is None else step
    moved = moved[(moved["step"] == step) & (moved["tuning"] == moved["tuning"].min())]
    gradient = run.table("gradient")
    tables = {value: gradient[gradient["step"] == step], "transfer": moved}
    parts = []
    for name, table in tables.items():
        for scale in sorted(table["scale"].unique(), key=figures.blocks):
            of_scale = table[table["scale"] == scale]
            seeds = [
                spaces.transfer(some, relative=True) if name == "transfer"
                else spaces.square(some, name)
                for _, some in of_scale.groupby("seed")
            ]  # fmt: skip
            mean = pd.concat(seeds).groupby(level=0).mean()
            long = spaces.ordered(mean, tasks).stack(future_stack=True).rename("value")
            long = long.rename_axis(["source", "target"]).reset_index()
            parts.append(long.assign(scale=scale, space=name, n_seeds=len(seeds)))
    table = pd.concat(parts, ignore_index=True).assign(profile=run.manifest["profile"])
    table["phenomenon"] = table["source"].map(tasks.set_index("task")["phenomenon"])
    columns = ["profile", "scale", "space", "source", "target", "value", "phenomenon", "n_seeds"]
    return table[columns]


@figures.drawn
def plot(table: pd.DataFrame, side: float = 2.4) -> Figure:
    """A column a scale, a row a space, colours from −1 to 1; lines separate phenomena."""
    scales = sorted(table["scale"].unique(), key=figures.blocks)
    kinds = [name for name in SPACES if name in set(table["space"])]
    names = list(dict.fromkeys(table["source"]))
    groups = table.drop_duplicates("source").set_index("source")["phenomenon"].loc[names]
    starts = np.flatnonzero(groups.ne(groups.shift()))
    middles = (starts + np.append(starts[1:], len(names)) - 1) / 2
    fig, axes = figures.new(side * len(scales) + 2.8, side * len(kinds) + 0.6, len(scales),
                            len(kinds), squeeze=False)  # fmt: skip
    for row, kind in zip(axes, kinds, strict=True):
        for ax, scale in zip(row, scales, strict=True):
            cells = table[(table["scale"] == scale) & (table["space"] == kind)]
            cells = cells.pivot(index="source", columns="target", values="value").loc[names, names]
            image = ax.imshow(cells, cmap=figures.DIVERGING, vmin=-1, vmax=1)
            for edge in starts[1:] - 0.5:
                ax.axhline(edge, color="black", linewidth=0.4)
                ax.axvline(edge, color="black", linewidth=0.4)
            labels = [figures.readable(g) for g in groups.iloc[starts]] if ax is row[0] else []
            ax.set_yticks(middles if labels else [], labels, fontsize=7)
            ax.set_xticks([])
            ax.tick_params(length=0)
            ax.set_title(f"{scale}: {SPACES[kind]}", fontsize=9)
            ax.spines[:].set_visible(False)
    fig.colorbar(image, ax=axes[:, -1], shrink=0.5, extend="both")
    return fig
