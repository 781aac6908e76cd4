"""The same explorers as widgets, for a notebook with a kernel: change the code, and they follow.

Pages do not show them; there the explorers of HTML are alive without a kernel.
"""

from __future__ import annotations

import html
import io
from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd

from taskspace_utils import claims, families, figures
from taskspace_utils.explore.atlas import Views, limit, pixels
from taskspace_utils.explore.doubts import LEVEL, by_phenomenon, neighbourhood
from taskspace_utils.explore.gains import at_target, costs
from taskspace_utils.explore.groups import NONE, grouping
from taskspace_utils.explore.rules import rules_of, under
from taskspace_utils.explore.words import sides, slides


def microscope_widget(pairs: pd.DataFrame, *others, **named):
    """`explore.microscope` as an `ipywidgets.VBox`; the same arguments, pairs in order."""
    import ipywidgets as w

    data = slides(pairs, *others, **named)
    tasks = [(f"{phenomenon}: {figures.readable(task)}", task)
             for phenomenon, some in data["groups"].items() for task in some]  # fmt: skip
    task, more = w.Dropdown(options=tasks, description="task"), w.Button(description="another pair")
    said, at = w.HTML(), [0]

    def show(i: int) -> None:
        one = data["tasks"][task.value]
        at[0] = i = i % len(one["pairs"])
        above = [f"{name}: {value}" for name, value in one["about"]]
        above.append(f"pair {i + 1} of the {len(one['pairs'])} kept here")
        below = [f"{name}, {side}, {len(ids)} tokens: {_cut(data['tokens'][name], ids)}"
                 for name, both in one["tokens"].items()
                 for side, ids in zip(("good", "bad"), both[i], strict=True)]  # fmt: skip
        below += [f"{name}: {value}" for name, value in one["checks"]]
        above, below = ("<br>".join(map(html.escape, some)) for some in (above, below))
        said.value = f"{above}{sides(one['pairs'][i])}{below}"

    show(0)
    task.observe(lambda _: show(0), "value")
    more.on_click(lambda _: show(at[0] + 1))
    return w.VBox([w.HBox([task, more]), said])


def _cut(texts: Mapping[int, tuple[str, bool]], ids: list[int]) -> str:
    """Tokens side by side: a bar between words, a dot inside of one."""
    parts = [("·" if texts[i][1] else " | ") + f"{texts[i][0]} ({i})" for i in ids]
    return "".join(parts).removeprefix(" | ")


def balance_widget(table: pd.DataFrame, *others, **named):
    """`explore.balance` as an `ipywidgets.VBox`; the same arguments."""
    import ipywidgets as w

    data = costs(table, *others, **named)
    harms = [(name, i) for i, name in enumerate(data["harms"])]
    k = w.SelectionSlider(options=data["ks"], value=data["ks"][-1], description="k")
    gains = [(f"{gain:g} nat{'s' * (gain != 1)}", gain) for gain in data["targets"]]
    gain = w.Dropdown(options=gains, description="gain")
    text = w.Dropdown(options=list(data["values"]), description="text")
    harm = w.Dropdown(options=harms, description="harm")
    picture, said = w.Image(format="png", width=560), w.HTML()

    def draw(*_) -> None:
        found = at_target(data, text.value, gain.value, harm.value)
        picture.value = _curves(data, k.value, text.value, gain.value, harm.value)
        said.value = html.escape(
            f"k = {k.value}: at a gain of {gain.label}, the mean {harm.label} on the text "
            f"{text.value} is {found[k.value].mean():.3g} nats a token, over the {len(found)} "
            "tasks that got so far with every k (blue points)."
        )

    draw()
    for one in (k, gain, text, harm):
        one.observe(draw, "value")
    return w.VBox([w.HBox([k, gain]), w.HBox([text, harm]), picture, said])


def _curves(data: dict, k: str, text: str, target: float, harm: int) -> bytes:
    """A PNG file: mean harm over gain, a line a k; at the end a point a task."""
    figure, ax = figures.new(6.0, 3.2)
    grid = [gain for gain in data["grid"] if gain <= target]
    ends = at_target(data, text, target, harm)
    means = {gain: at_target(data, text, gain, harm).loc[ends.index].mean() for gain in grid}
    for name, line in pd.DataFrame(means).iterrows():
        look = (
            {"color": figures.COLOURS[1], "linewidth": 2.5} if name == k else {"color": "#999999"}
        )
        ax.plot(grid, line, **look)
    ax.plot([target] * len(ends), ends[k], "o", color=figures.COLOURS[0], alpha=0.8)
    label = f"{data['harms'][harm]}\n(nats a token)"
    ax.set(xlabel=f"gain of the margin (nats); orange: k = {k}", ylabel=label)
    if harm == 0 and (ends.to_numpy() > 0).any():  # as on the page: a divergence spans decades
        ax.set_yscale("log")
    with io.BytesIO() as file:
        figure.savefig(file, format="png")
        plt.close(figure)  # or the notebook would show it, too
        return file.getvalue()


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


def doubt_widget(space, doubts, labels, planted=None, n=6):
    """`explore.doubt` as an `ipywidgets.VBox`; the same arguments, of the same types."""
    import ipywidgets as w

    tasks = [(figures.readable(name), name) for name in by_phenomenon(labels, space)["task"]]
    task = w.Dropdown(options=tasks, description="task")
    level = w.IntSlider(value=round(100 * LEVEL), min=50, max=99, description="exceed (%)")
    raised = [w.Checkbox(value=False, description=name) for name in doubts]
    shown, said = w.Checkbox(value=False, description="show what was planted"), w.HTML()

    def draw(*_) -> None:
        some = {box.description: doubts[box.description] for box in raised if box.value}
        table = neighbourhood(space, some, task.value, n, level.value / 100)
        if shown.value and planted is not None:
            table["planted"] = planted.loc[task.value, table.index]
        said.value = table.rename(index=figures.readable).to_html(float_format="{:.3f}".format)

    draw()
    for one in (task, level, shown, *raised):
        one.observe(draw, "value")
    return w.VBox([w.HBox([task, level, shown]), w.HBox(raised), said])
