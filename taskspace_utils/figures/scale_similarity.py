"""Likeness within and between phenomena against the size of the model, fairly compared."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures, likeness
from taskspace_utils.figures.step_similarity import LOOKS, NAMES
from taskspace_utils.tables import Run


def load(
    run: Run, reference: Run | None = None, value: str = "cosine_corrected", least: float = 0.5
) -> pd.DataFrame:
    """The measures of `step_similarity` at equal held-out loss, at equal step, and at the end.

    Each time over the pairs of tasks that are reliable in all models of a seed that are compared.
    The equal loss of a seed is the lowest that all its scales reach; between the two checkpoints
    that first enclose it, measures are interpolated linearly in the loss. The equal step is the
    last that both runs have. Relative transfer joins at the last step at which it was measured,
    over the sources whose own margin rose in all scales of a seed.

    Returns:
        columns run, profile, scale, parameters (without embeddings), seed, at, loss (nats a token),
        measure, group, value, n.
    """
    end = min(one.table("tasks")["step"].max() for one in (run, reference) if one is not None)
    return figures.beside(lambda one: likeness.over_scales(one, value, least, end), run, reference)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A column a way to compare, a row a measure; bands are the reference's range over seeds."""
    measures = [name for name in NAMES if name in set(table["measure"])]
    ways = sorted(table["at"].unique(), key=lambda way: (way == "last step", way))
    sizes = table.drop_duplicates("scale").set_index("scale")["parameters"].sort_values()
    fig, axes = figures.new(2.3 * len(ways) + 1.4, 1.9 * len(measures) + 0.8, len(ways),
                            len(measures), squeeze=False, sharex=True,
                            sharey="row")  # fmt: skip
    for row, measure in zip(axes, measures, strict=True):
        for ax, way in zip(row, ways, strict=True):
            some = table[(table["measure"] == measure) & (table["at"] == way)]
            for group, colour in LOOKS.items():
                figures.over(ax, some[some["group"] == group], "parameters", "value", colour)
        row[0].set_yscale("log" if measure == "participation" else "linear")
        for ax in row:
            ax.set_visible(bool(ax.lines))
        first = next(ax for ax in row if ax.get_visible())
        first.set_ylabel(NAMES[measure])
        first.tick_params(labelleft=True)
    for column, way in zip(axes.T, ways, strict=True):
        column[0].set(title=way, xscale="log")
        column[0].set_xticks(sizes, sizes.index)
        column[0].minorticks_off()
        [ax for ax in column if ax.get_visible()][-1].tick_params(labelbottom=True)
    fig.supxlabel("scale, by parameters without embeddings", fontsize=10)
    figures.legend(fig, LOOKS, table)
    return fig
