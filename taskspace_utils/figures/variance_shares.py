"""Whose the differences between cells are: a bar a state of training, a colour a source."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures

PALE = 0.45  # opacity of bars, so that the numbers in them can be read by day and by night
PARTS = {
    "common": "all models",
    "kind": "the architecture",
    "seed": "the seed, in all architectures",
    "model": "the single model",
}


def load(shares: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Results of `studies.alike.shares` as one table: columns state, part, share."""
    rows = [
        (state, part, some.loc[part, "value"]) for state, some in shares.items() for part in PARTS
    ]
    return pd.DataFrame(rows, columns=["state", "part", "share"])


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Shares side by side from 0 to 1; one below 0, too small to be seen, is drawn as 0."""
    states = list(dict.fromkeys(table["state"]))
    fig, ax = figures.new(6.5, 0.55 * len(states) + 1.3)
    left = dict.fromkeys(states, 0.0)
    for (part, name), colour in zip(PARTS.items(), figures.COLOURS, strict=False):
        some = table[table["part"] == part].set_index("state")["share"].clip(lower=0)
        places = [left[state] for state in states]
        ax.barh(states, some[states], left=places, color=colour, alpha=PALE, label=name)
        for state in states:
            if some[state] > 0.06:
                ax.text(left[state] + some[state] / 2, state, f"{some[state]:.2f}", fontsize=8,
                        ha="center", va="center")  # fmt: skip
            left[state] += some[state]
    ax.invert_yaxis()
    ax.set(xlabel="share of the variance between cells", xlim=(0, max(1.0, *left.values())))
    fig.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return fig
