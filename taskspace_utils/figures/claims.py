"""Claims: each estimate with its interval, in units of the smallest effect that would matter."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

# Colour and marker of each verdict: they can be told apart without colour.
LOOKS = {
    "consistent": ("#009E73", "o"),
    "contrary": ("#D55E00", "D"),
    "negligible": ("#000000", "s"),
    "undetermined": ("#0072B2", "^"),
    "not attempted": ("#777777", "x"),
}


def load(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The table of `claims.verdicts`, each number divided by its smallest effect of interest.

    Returns:
        columns claim, estimand, verdict, n_seeds, estimate, low, high (in units of the smallest
        effect; NaN where there is no number), smallest and unit as they were.
    """
    table = verdicts.reset_index(drop=True)
    units = table["smallest"].abs().where(table["smallest"] != 0)
    for name in ("estimate", "low", "high"):
        table[name] = pd.to_numeric(table[name]) / units
    columns = ["claim", "estimand", "verdict", "n_seeds", "estimate", "low", "high"]
    return table[[*columns, "smallest", "unit"]]


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A row an estimand; the grey band is what would be too small to matter, either way."""
    fig, ax = figures.new(7.0, 1.3 + 0.32 * len(table))
    ax.axvspan(-1, 1, color="#eeeeee", zorder=0)
    ax.axvline(0, color="black", linewidth=0.8)
    rows = table.reset_index(drop=True)
    for verdict, some in rows.groupby("verdict", sort=False):
        colour, marker = LOOKS[verdict]
        known = some[some["estimate"].notna()]
        ax.hlines(known.index, known["low"], known["high"], color=colour, linewidth=1.5)
        ax.scatter(known["estimate"], known.index, color=colour, marker=marker, s=42, zorder=3,
                   label=verdict)  # fmt: skip
        for place in some.index.difference(known.index):
            ax.text(0.1, place, "no number", color=colour, fontsize=8, va="center")
    ax.set_xscale("symlog", linthresh=4.0, linscale=2.0)
    numbers = rows[["estimate", "low", "high"]].abs().max().max()
    reach = max(3.0, 1.2 * numbers) if pd.notna(numbers) else 3.0
    ticks = [t for t in (-100, -10, -4, -2, -1, 0, 1, 2, 4, 10, 100) if abs(t) <= reach]
    ax.set_xticks(ticks, [f"{t}" for t in ticks])
    ax.xaxis.minorticks_off()
    ax.set_xlim(-reach, reach)
    labels = [f"{r.claim}  {figures.readable(r.estimand)}" for r in rows.itertuples()]
    ax.set_yticks(range(len(rows)), labels, fontsize=8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel("estimate, in units of the smallest effect of interest")
    if rows["estimate"].notna().any():
        fig.legend(loc="outside upper center", ncols=len(LOOKS), fontsize=8, frameon=False)
    return fig
