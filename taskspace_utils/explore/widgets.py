"""The same explorers as widgets, for a notebook with a kernel: change the code, and they follow.

Pages do not show them; there the explorers of HTML are alive without a kernel.
"""

from __future__ import annotations

import html

import pandas as pd

from taskspace_utils import claims, families, figures
from taskspace_utils.explore.atlas import Views, limit, pixels
from taskspace_utils.explore.groups import NONE, grouping
from taskspace_utils.explore.rules import rules_of, under


def space_widget(shown: Views, phenomenon: pd.Series, pairs: pd.DataFrame | None = None):
    """`explore.space` as an `ipywidgets.VBox`; the same arguments."""
    import ipywidgets as w

    names = phenomenon.rename("p").rename_axis("task").reset_index().sort_values(["p", "task"])
    tasks = [task for task in names["task"] if any(task in one.index for one in shown.values())]
    scale = w.SelectionSlider(options=list(dict.fromkeys(k[0] for k in shown)), description="scale")
    measure = w.Dropdown(options=list(dict.fromkeys(k[2] for k in shown)), description="measure")
    step = w.SelectionSlider(options=[next(iter(shown))[1]], description="step")
    row, column = (
        w.Dropdown(options=tasks, index=min(i, len(tasks) - 1), description=name)
        for i, name in enumerate(("row", "column"))
    )
    picture, said = w.Image(format="png", width=420), w.HTML()

    def steps(*_) -> None:
        there = [s for name, s, kind in shown if (name, kind) == (scale.value, measure.value)]
        step.options = sorted(there) or [-1]

    def draw(*_) -> None:
        one = shown.get((scale.value, step.value, measure.value))
        if one is None:
            picture.value, said.value = b"", "not measured"
            return
        one = one.reindex(index=tasks, columns=tasks)
        picture.value = pixels(one, limit(shown, measure.value))
        a, b = row.value, column.value
        text = f"{a} and {b}: {one.loc[a, b]:.2f}; from column to row: {one.loc[b, a]:.2f}"
        some = None if pairs is None else pairs[pairs["task"].isin([a, b])].groupby("task").head(2)
        lines = [text] if some is None else [text, *some["good"] + " / " + some["bad"]]
        said.value = "<br>".join(html.escape(figures.readable(line)) for line in lines)

    steps()
    step.index = len(step.options) - 1
    draw()
    for one in (scale, measure):
        one.observe(steps, "value")
    for one in (scale, measure, step, row, column):
        one.observe(draw, "value")
    return w.VBox([w.HBox([scale, step, measure]), picture, w.HBox([row, column]), said])


def hypothesis_widget(
    space: pd.DataFrame,
    words: pd.DataFrame,
    labels: pd.DataFrame,
    start: tuple[str, ...] = ("phenomenon",),
    permutations: int = 199,
):
    """`explore.hypothesis` as an `ipywidgets.VBox`: a text box a task holds its group's name."""
    import ipywidgets as w

    known = families.common(space, words)
    table = labels.set_index("task").fillna(NONE)
    table = table[table.index.isin(known)]
    space, words = (one.loc[table.index, table.index] for one in (space, words))
    begin = w.Dropdown(options=start, description="start from")
    look = {"style": {"description_width": "16em"}, "continuous_update": False}
    boxes = {task: w.Text(description=task, **look) for task in table.index}
    said = w.HTML()

    def draw(*_) -> None:
        groups = pd.Series({task: box.value.strip() for task, box in boxes.items()})
        found = grouping(space, words, groups, table["family"], permutations)
        said.value = "<br>".join(f"{name}: {value:.3f}" for name, value in found.items())

    def fill(*_) -> None:
        for task, box in boxes.items():
            box.unobserve_all()
            box.value = str(table.loc[task, begin.value])
            box.observe(draw, "value")
        draw()

    fill()
    begin.observe(fill, "value")
    return w.VBox([begin, said, *boxes.values()])


def verdict_rules_widget(verdicts: pd.DataFrame, ledger: list[claims.Claim]):
    """`explore.verdict_rules` as an `ipywidgets.VBox`; the same arguments."""
    import ipywidgets as w

    table = rules_of(verdicts, ledger)
    factor, width = (
        w.FloatLogSlider(value=1, base=2, min=-3, max=3, step=0.25, description=name)
        for name in ("smallest ×", "width ×")
    )
    said = w.HTML()

    def draw(*_) -> None:
        now = under(table, factor.value, width.value).rename("verdict")
        before = table.set_index("claim")["verdict"].rename("as fixed")
        said.value = pd.concat([before, now], axis=1).to_html()

    draw()
    for one in (factor, width):
        one.observe(draw, "value")
    return w.VBox([w.HBox([factor, width]), said])
