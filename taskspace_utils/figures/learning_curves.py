"""Pre-training: held-out loss over the steps, and accuracy on the tasks against that loss."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.runs import OTHER_TEXT
from taskspace_utils.tables import Run


def load(run: Run, accuracy: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a checkpoint that was scored.

    Args:
        accuracy: of more checkpoints than the run has, in the columns of its table.

    Returns:
        columns scale, seed, step, tokens, loss (nats a token, mean over held-out texts of the kind
        that was trained on), accuracy (mean over tasks).
    """
    keys = ["scale", "seed", "step"]
    training = run.table("training")
    training = training[training["text"] != OTHER_TEXT]
    training = training.groupby(keys, sort=False)[["tokens", "loss"]].mean()
    accuracy = run.table("accuracy") if accuracy is None else accuracy
    means = accuracy.groupby(keys)["accuracy"].mean()
    together = training.join(means, how="inner").reset_index()
    size = {scale: i for i, scale in enumerate(run.manifest["parameters"]["scales"])}
    return together.sort_values([*keys[1:], "scale"]).sort_values(
        "scale", key=lambda column: column.map(size), kind="stable"
    )


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Left: loss over steps. Right, from the second checkpoint on: accuracy against loss."""
    fig, (left, right) = figures.new(8.0, 3.4, 2)
    for i, (scale, models) in enumerate(table.groupby("scale", sort=False)):
        look = {"color": figures.COLOURS[i], "marker": figures.MARKERS[i], "markersize": 5}
        for number, (_, some) in enumerate(models.groupby("seed")):
            label = scale if number == 0 else None
            left.plot(some["step"], some["loss"], label=label, **look)
            trained = some[some["step"] > 0]  # the untrained loss would squeeze all others
            right.plot(trained["loss"], trained["accuracy"], **look)
    left.set(xlabel="step of pre-training", ylabel="held-out loss (nats a token)", xlim=(0, None))
    right.axhline(0.5, color="black", linewidth=0.8, linestyle="--")
    right.invert_xaxis()
    right.set(xlabel="held-out loss (nats a token)", ylabel="mean accuracy on the tasks")
    left.legend(title="scale", frameon=False)
    return fig
