"""How alike kinds of models are: a square a state of training, ceilings on the diagonal."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from taskspace_utils import figures

PALE = 0.45  # opacity of cells, so that the numbers in them can be read by day and by night


def load(states: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Means of `studies.alike.Alike` as one table.

    Args:
        states: square tables of kinds by the name that stands above their panel.

    Returns:
        columns state, one, other, value; in the order of the first table.
    """
    parts = []
    for state, means in states.items():
        long = means.rename_axis(index="one", columns="other").stack(future_stack=True)
        parts.append(long.rename("value").reset_index().assign(state=state))
    return pd.concat(parts, ignore_index=True)[["state", "one", "other", "value"]]


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel a state; numbers in the cells, frames around the diagonal, one scale for all."""
    limit = table["value"].abs().max()
    states, names = (list(dict.fromkeys(table[column])) for column in ("state", "one"))
    fig, axes = figures.new(3.3 * len(states) + 1.2, 3.9, len(states), squeeze=False, sharey=True)
    for ax, state in zip(axes[0], states, strict=True):
        some = table[table["state"] == state].pivot(index="one", columns="other", values="value")
        some = some.loc[names, names]
        image = ax.imshow(some, cmap=figures.DIVERGING, vmin=-limit, vmax=limit, alpha=PALE)
        for i, row in enumerate(some.to_numpy()):
            for j, value in enumerate(row):
                ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8)
            ax.add_patch(
                Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, linewidth=1.4, edgecolor="black")
            )
        ax.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        ax.set_yticks(range(len(names)), names, fontsize=8)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(state)
    fig.colorbar(image, ax=axes[0], shrink=0.8, label="rank correlation of spaces")
    return fig
