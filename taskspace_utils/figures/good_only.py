"""Gradients of good sentences against gradient differentials: which repeats mere words?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import families, figures
from taskspace_utils.hypotheses import lexical_diff, lexical_space, same_label

if TYPE_CHECKING:
    from taskspace_utils.models import LanguageModel

LOSSES = {"good": "good sentences alone", "differential": "good less bad"}
LOOKS = {"different phenomena": "#999999", "same phenomenon": "#0072B2"}


def load(lm: LanguageModel, pairs: pd.DataFrame) -> pd.DataFrame:
    """Cosines of tasks' gradients under both losses, beside their lexical difference.

    As in chapter 7, one side's gradient is of the train half and the other's of the eval half, and
    both ways are averaged. Shams are left out.

    Returns:
        columns loss, a, b, cosine, lexical_diff, same (phenomenon; 1 or 0).
    """
    from taskspace_utils.ftgd import loss_gradient

    pairs = pairs[pairs["phenomenon"] != "preference_sham"]
    groups = pairs.drop_duplicates("task")[["task", "phenomenon"]].sort_values("task")
    beside = {"lexical_diff": lexical_space(lexical_diff(pairs)),
              "same": same_label(groups, "phenomenon")}  # fmt: skip
    parts = []
    for loss in LOSSES:
        halves = []
        for split in ("train", "eval"):
            some = pairs[pairs["split"] == split]
            rows = [loss_gradient(lm, some[some["task"] == t], loss)[0].cpu().numpy()
                    for t in groups["task"]]  # fmt: skip
            halves.append(np.stack([row / np.linalg.norm(row) for row in rows]))
        crossed = halves[0] @ halves[1].T
        space = pd.DataFrame((crossed + crossed.T) / 2, groups["task"], groups["task"])
        parts.append(families.cell_table({"cosine": space, **beside}).assign(loss=loss))
    return pd.concat(parts, ignore_index=True)


def correlations(table: pd.DataFrame, family: pd.Series, draws: int = 299) -> pd.DataFrame:
    """Rank correlation with `lexical_diff` under each loss, with intervals over families.

    Args:
        family: of each task.

    Returns:
        value, low, high by loss; see `families.bootstrap`.
    """
    named = {"cosine": "one", "lexical_diff": "other"}
    rows = [families.bootstrap(some.rename(columns=named), families.spearman, family, draws=draws)
            for _, some in table.groupby("loss", sort=False)]  # fmt: skip
    return pd.concat(rows).set_axis(table["loss"].unique())


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A panel a loss, a point two tasks; rho is the rank correlation over all of them."""
    fig, axes = figures.new(7.4, 3.4, len(LOSSES), sharey=True)
    for ax, (loss, label) in zip(axes, LOSSES.items(), strict=True):
        some = table[table["loss"] == loss]
        for same, (name, colour) in enumerate(LOOKS.items()):
            part = some[some["same"] == same]
            ax.scatter(part["lexical_diff"], part["cosine"], c=colour, s=12 + 8 * same, alpha=0.6,
                       linewidths=0, label=f"{name} ({len(part)})")  # fmt: skip
        rho = some["lexical_diff"].rank().corr(some["cosine"].rank())
        ax.set_title(f"{label}: rho = {rho:.2f}")
        ax.axhline(0, color="black", linewidth=0.4, linestyle=":")
        ax.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), xlabel="lexical difference (cosine of bags)")
    axes[0].set_ylabel("cosine of gradients")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2,
               fontsize=8, frameon=False)  # fmt: skip
    return fig
