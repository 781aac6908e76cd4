"""What tasks share in each layer: a measure a panel, within and between phenomena."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures


def load(found: dict[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    """Tables of `families.within_between` or `families.bootstrap`, put together.

    Args:
        found: by layer and measure; layers in the order of the model.

    Returns:
        columns layer, measure, group (the tables' index), value, low, high.
    """
    parts = [
        table[["value", "low", "high"]].rename_axis("group").reset_index()
        .assign(layer=layer, measure=measure)
        for (layer, measure), table in found.items()
    ]  # fmt: skip
    together = pd.concat(parts, ignore_index=True)
    return together[["layer", "measure", "group", "value", "low", "high"]]


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel a measure, layers along it; bars are intervals."""
    measures = list(dict.fromkeys(table["measure"]))
    layers = list(dict.fromkeys(table["layer"]))
    groups = list(dict.fromkeys(table["group"]))
    rows, columns = -(-len(measures) // 3), min(3, len(measures))
    fig, axes = figures.new(2.6 * columns, 2.7 * rows, columns, rows, squeeze=False, sharex=True)
    for ax in axes.flat[len(measures) :]:
        ax.set_visible(False)
    for ax, measure in zip(axes.flat, measures, strict=False):
        for number, group in enumerate(groups):
            some = table[(table["measure"] == measure) & (table["group"] == group)]
            if some.empty:
                continue
            x = [layers.index(layer) + 0.12 * number for layer in some["layer"]]
            colour = figures.COLOURS[number]
            ax.vlines(x, some["low"], some["high"], color=colour, linewidth=1)
            ax.plot(x, some["value"], figures.MARKERS[number], color=colour, markersize=4,
                    label=group)  # fmt: skip
        ax.axhline(0, color="black", linewidth=0.4)
        ax.set_xticks(range(len(layers)), layers, rotation=60, ha="right", fontsize=8)
        ax.set_title(figures.readable(measure))
    shown = {
        label: mark for ax in axes.flat for mark, label in zip(*ax.get_legend_handles_labels())
    }
    fig.legend(shown.values(), shown, loc="outside upper center", ncols=4, frameon=False)
    return fig
