"""Maps of several models side by side, turned onto one another, signed above and absolute below."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.maps import aligned, stress

FORMS = {True: "signed", False: "absolute"}


def load(
    spaces: dict[str, pd.DataFrame], phenomenon: pd.Series, to: str, permutations: int = 19
) -> pd.DataFrame:
    """Places of tasks in each space, each map turned onto the one named `to`.

    Args:
        spaces: symmetric similarities, by the name that stands above their maps.
        phenomenon: of each task.

    Returns:
        columns form (signed or absolute), name, task, x, y, phenomenon, and those of `maps.stress`.
    """
    parts = []
    for signed, form in FORMS.items():
        found = {name: stress(space, signed, permutations) for name, space in spaces.items()}
        placed = aligned({name: points for name, (points, _) in found.items()}, to)
        for name, points in placed.items():
            about = found[name][1].to_dict()
            parts.append(
                points.rename_axis("task").reset_index().assign(form=form, name=name, **about)
            )
    table = pd.concat(parts, ignore_index=True)
    return table.assign(phenomenon=table["task"].map(phenomenon))


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A column a space, a row a form; the stress beside that of random vectors above each map."""
    names = list(dict.fromkeys(table["name"]))
    forms = list(dict.fromkeys(table["form"]))
    fig, axes = figures.new(2.1 * len(names) + 1.6, 2.4 * len(forms), len(names), len(forms),
                            squeeze=False)  # fmt: skip
    looks = figures.look(table["phenomenon"])
    for row, form in zip(axes, forms, strict=True):
        for ax, name in zip(row, names, strict=True):
            some = table[(table["form"] == form) & (table["name"] == name)]
            for phenomenon, (colour, marker) in looks.items():
                part = some[some["phenomenon"] == phenomenon]
                ax.plot(part["x"], part["y"], marker, color=colour, markersize=4,
                        label=figures.readable(phenomenon))  # fmt: skip
            first = some.iloc[0]
            ax.set_title(f"{name}, {form}\nstress {first['stress']:.2f}, "
                         f"random {first['random']:.2f}", fontsize=8)  # fmt: skip
            figures.even(ax)
            ax.set(xticks=[], yticks=[])
            ax.spines[["top", "right"]].set_visible(True)
    marks, labels = axes[0][0].get_legend_handles_labels()
    fig.legend(marks, labels, loc="outside right center", fontsize=7, frameon=False)
    return fig
