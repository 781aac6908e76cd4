"""How many times faster than each peer, beside floor, goal and what the machine allows."""

from __future__ import annotations

import json

import pandas as pd
from matplotlib.figure import Figure

from taskspace_utils import figures
from taskspace_utils.store import data_path, project_root

SIGNS = {"floor": ("|", "black"), "goal": ("|", "#009E73"), "limit": (">", "#D55E00")}
VERDICTS = {None: "not judged", False: "floor missed", True: "floor reached"}


def reports() -> dict[str, dict]:
    """The report that is shipped and, if `make bench` was run here, the reader's own."""
    found = {"shipped": data_path("reference", "bench", "report.json")}
    if (own := project_root() / "_build" / "bench" / "report.json").is_file():
        found["yours"] = own
    return {source: json.loads(path.read_text("utf-8")) for source, path in found.items()}


def load(found: dict[str, dict] | None = None) -> pd.DataFrame:
    """Every measure of the reports, one row each.

    Args:
        found: reports by source; `reports()` by default.

    Returns:
        columns source, part, name, unit, at_least (whether more is better), floor, goal, reached,
        low, high (over rounds), limit, why, refused (why nothing was reached) and verdict.
    """
    rows = [
        {"source": source, "part": part, "reached": row["ratio"], **row}
        for source, report in (found or reports()).items()
        for part, values in report["parts"].items()
        for row in values["measures"]
    ]
    table = pd.DataFrame(rows)
    numbers = ["floor", "goal", "reached", "low", "high", "limit"]
    table[numbers] = table[numbers].astype(float)
    verdict = table["floor_met"].map(lambda met: VERDICTS[met])
    verdict[table["goal_met"].eq(True)] = "goal reached"
    columns = ["source", "part", "name", "unit", "at_least", *numbers, "why", "refused"]
    return table[columns].assign(verdict=verdict)


@figures.drawn
def plot(table: pd.DataFrame) -> Figure:
    """A row a comparison, on a logarithmic axis; hollow is the reader's own machine."""
    some = table[table["unit"] == "times"]
    names = list(dict.fromkeys(some["name"]))[::-1]
    fig, ax = figures.new(8.0, 1.4 + 0.5 * len(names))
    for source, fill, shift in (("shipped", "#0072B2", 0.0), ("yours", "white", -0.25)):
        rows = some[some["source"] == source]
        y = [names.index(name) + shift for name in rows["name"]]
        ax.hlines(y, rows["low"], rows["high"], color="#0072B2")
        ax.scatter(rows["reached"], y, color=fill, edgecolors="#0072B2", zorder=3,
                   label=f"reached, {source}" if len(rows) else None)  # fmt: skip
        for column, (marker, colour) in SIGNS.items() if source == "shipped" else ():
            ax.scatter(rows[column], y, marker=marker, color=colour, s=120, label=column)
    ax.axvline(1, color="black", linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ticks = [1, 2, 3, 5, 10, 20, 50]
    ax.set_xticks(ticks, [f"{t}×" for t in ticks], minor=False)
    ax.set_xticks([], minor=True)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="times faster (CPU time of one thread)", ylim=(-0.6, len(names) - 0.4))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return fig
