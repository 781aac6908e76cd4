"""How far the transfer spaces of ways of tuning agree, against the same way in other seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.studies.ways_compared import Spaces

PALE = 0.45  # opacity of cells, so that the numbers in them can be read by day and by night


def load(spaces: Spaces, labels: dict[str, str]) -> pd.DataFrame:
    """Corrected rank correlations of cells: two ways in the same models, a way in other models.

    Args:
        labels: what each way is called; their order is that of the table.

    Returns:
        columns one, other, label_one, label_other, value, low, high; where one is other, of
        different seeds. Two ways stand there both ways round.
    """
    table = spaces.table()
    turned = table.rename(columns={"one": "other", "other": "one"})
    table = pd.concat([table, turned[turned["one"] != turned["other"]]])
    order = {way: place for place, way in enumerate(labels)}
    table = table.sort_values(["one", "other"], key=lambda ways: ways.map(order))
    for end in ("one", "other"):
        table[f"label_{end}"] = table[end].map(labels)
    return table.reset_index(drop=True)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A square table of ways; the diagonal, in italics, compares models of different seeds."""
    labels = dict(zip(table["one"], table["label_one"], strict=True))
    ways = list(labels)
    values = np.full((len(ways), len(ways)), np.nan)
    for row in table.itertuples():
        i, j = ways.index(row.one), ways.index(row.other)
        values[i, j] = row.value
    fig, ax = figures.new(6.6, 5.0)
    image = ax.imshow(values, cmap=figures.DIVERGING, vmin=-1, vmax=1, alpha=PALE)
    for i in range(len(ways)):
        for j in range(len(ways)):
            if np.isfinite(values[i, j]):
                ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=8,
                        style="italic" if i == j else "normal")  # fmt: skip
    ax.set_xticks(range(len(ways)), [labels[w] for w in ways], rotation=40, ha="right", fontsize=8)
    ax.set_yticks(range(len(ways)), [labels[w] for w in ways], fontsize=8)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)
    fig.colorbar(image, ax=ax, shrink=0.8).set_label("corrected rank correlation", fontsize=9)
    return fig
