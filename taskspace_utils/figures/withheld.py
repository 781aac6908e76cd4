"""Which tasks suffer when one construction was never seen, against the gradient space."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.hypotheses import same_label
from taskspace_utils.store import data_path
from taskspace_utils.tables import read_table

KINDS = ["unrelated", "same rule", "own"]  # in the order in which they are drawn


def load(step: int = 800) -> pd.DataFrame:
    """The shipped reference, without controls: one row a seed, construction withheld, and task.

    Args:
        step: of the whole models' gradient spaces.

    Returns:
        columns seed, without, task, loss (margin with minus margin without, nats), cosine (of the
        whole model of that seed), lexical_diff, bigram, kind.
    """
    folder = data_path("reference", "withheld")
    margins = read_table(folder / "margins.csv")
    whole = margins[margins["without"] == ""].set_index(["seed", "task"])["margin"]
    table = margins[margins["without"] != ""].join(whole.rename("whole"), on=["seed", "task"])
    table = table.assign(loss=table["whole"] - table["margin"])
    both = read_table(folder / "spaces.csv.xz").query("step == @step")
    both = both.merge(read_table(folder / "words.csv.xz"), on=["a", "b"])
    turned = both.rename(columns={"a": "b", "b": "a"})
    both = pd.concat([both, turned[turned["a"] != turned["b"]]])
    both = both.rename(columns={"a": "without", "b": "task"})
    values = ["seed", "without", "task", "cosine", "lexical_diff", "bigram"]
    table = table.merge(both[values], on=values[:3])
    labels = read_table(data_path("hypotheses", "grammar.csv")).query("field != 'control'")
    table = table[table["task"].isin(labels["task"])]
    same = same_label(labels, "family").stack()
    same = [same[pair] for pair in zip(table["without"], table["task"], strict=True)]
    table["kind"] = [KINDS[int(s)] for s in same]
    table.loc[table["without"] == table["task"], "kind"] = KINDS[2]
    columns = ["seed", "without", "task", "loss", "cosine", "lexical_diff", "bigram", "kind"]
    return table[columns].fillna({"lexical_diff": 0.0}).reset_index(drop=True)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Loss over cosine, both means over seeds; a point a construction withheld and a task."""
    mean = table.groupby(["without", "task", "kind"], as_index=False)[["cosine", "loss"]].mean()
    fig, ax = figures.new(6.0, 4.2)
    looks = [("#999999", "o", 12), (figures.COLOURS[0], "s", 26), (figures.COLOURS[1], "D", 40)]
    for kind, (colour, marker, size) in zip(KINDS, looks, strict=True):
        some = mean[mean["kind"] == kind]
        ax.scatter(some["cosine"], some["loss"], c=colour, marker=marker, s=size, alpha=0.75,
                   linewidths=0, label=f"{kind} ({len(some)})")  # fmt: skip
    ax.axhline(0, color="black", linewidth=0.5, linestyle=":")
    ax.set(xlabel="cosine with the withheld construction, whole model",
           ylabel="margin lost (nats)")  # fmt: skip
    ax.legend(loc="upper left", fontsize=8)
    return fig
