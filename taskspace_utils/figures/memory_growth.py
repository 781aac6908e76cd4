"""How the gradient space's memory grows with tasks, pairs and parameters."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.figures.speed_ratios import reports

MIB = 2**20


def load(found: dict[str, dict] | None = None) -> pd.DataFrame:
    """Every size that was measured, of the reader's own report where it has any.

    Returns:
        columns source, scale, tasks, pairs (a task), parameters, model (MiB of float32 weights),
        peak (MiB above the interpreter), times (peak over model), seconds (CPU) and failed.
    """
    table = pd.DataFrame()
    for source, report in (found or reports()).items():
        if sizes := report["parts"].get("memory", {}).get("sizes"):
            table = pd.DataFrame(sizes).assign(source=source)
    if table.empty:
        raise ValueError("no report has a part `memory`")
    numbers = ["model_bytes", "peak", "parameters", "seconds"]
    table[numbers] = table[numbers].astype(float)
    table = table.assign(peak=table["peak"] / MIB, model=table["model_bytes"] / MIB)
    table["times"] = table["peak"] / table["model"]
    columns = ["source", "scale", "tasks", "pairs", "parameters", "model", "peak", "times"]
    return table[[*columns, "seconds", "failed"]]


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """Three panels: over tasks, over pairs, over parameters; the dotted line is the model alone."""
    fig, axes = figures.new(9.5, 3.4, columns=3)
    sweeps = (("tasks", "number of tasks"), ("pairs", "pairs a task"))
    for ax, (column, label) in zip(axes, sweeps, strict=False):
        other = "pairs" if column == "tasks" else "tasks"
        lines = [some for _, some in table.groupby(["scale", other]) if some[column].nunique() > 1]
        for some, colour in zip(lines, figures.COLOURS, strict=False):
            some = some.sort_values(column)
            name = f"{some['parameters'].max() / 1e6:.0f}M, {some[other].iloc[0]} {other}"
            ax.plot(some[column], some["peak"], "o-", color=colour, label=name)
            ax.axhline(some["model"].max(), color=colour, linewidth=0.8, linestyle=":")
        ax.set(xlabel=label, ylim=(0, None))
        if lines:
            ax.legend(fontsize=8)
    some = table[table["tasks"] == table["tasks"].min()]
    some = some[some["pairs"] == some["pairs"].mode()[0]].sort_values("parameters").dropna()
    axes[2].loglog(some["parameters"], some["peak"], "o", color=figures.COLOURS[0], label="peak")
    for factor, style, name in ((1, ":", "the model"), (3, "--", "three times the model")):
        sizes = factor * some["model"]
        axes[2].plot(some["parameters"], sizes, style, color="black", linewidth=0.8, label=name)
    axes[2].set(xlabel="parameters")
    axes[2].legend(fontsize=8)
    axes[0].set_ylabel("memory above the interpreter (MiB)")
    return fig
