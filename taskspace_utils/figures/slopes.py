"""What each hypothesis explains of each space: standardised slopes of regressions on matrices."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures


def load(regressions: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of `families.regress`, or of `hypotheses.regress`, put together.

    Args:
        regressions: one a space, by the space's name.

    Returns:
        columns space, hypothesis, slope, low, high (NaN without intervals), p, r2, vif, n_tasks.
    """
    parts = [table.assign(space=name) for name, table in regressions.items()]
    columns = ["space", "hypothesis", "slope", "low", "high", "p", "r2", "vif", "n_tasks"]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


@figures.drawn
def plot(table: pd.DataFrame, level: float = 0.05) -> Figure:
    """A row a hypothesis, a marker a space; bars are intervals, filled where p ≤ `level`."""
    hypotheses = list(dict.fromkeys(table["hypothesis"]))[::-1]
    spaces = list(dict.fromkeys(table["space"]))
    fig, ax = figures.new(6.5, 1.0 + 0.6 * len(hypotheses))
    for number, space in enumerate(spaces):
        some = table[table["space"] == space]
        shift = 0.16 * ((len(spaces) - 1) / 2 - number)
        y = [hypotheses.index(h) + shift for h in some["hypothesis"]]
        colour = figures.COLOURS[number]
        fill = [colour if p <= level else "white" for p in some["p"]]
        ax.hlines(y, some["low"], some["high"], color=colour, linewidth=1)
        ax.scatter(some["slope"], y, marker=figures.MARKERS[number], color=fill, edgecolors=colour,
                   s=45, zorder=3, label=space)  # fmt: skip
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(len(hypotheses)), [figures.readable(h) for h in hypotheses])
    ax.set_ylim(-0.6, len(hypotheses) - 0.4)
    ax.set_xlabel(f"slope (standard deviations); filled: p ≤ {level:g}")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return fig
