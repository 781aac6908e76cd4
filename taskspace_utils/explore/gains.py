"""The balance: what a gain costs on neutral text, as k moves (chapter 5)."""

from __future__ import annotations

import html
from string import Template

import pandas as pd

from taskspace_utils import equal_gain, ladder
from taskspace_utils.explore.frame import inert
from taskspace_utils.explore.markup import Html
from taskspace_utils.store import InputError, key_of

BALANCE = Template("""
<div class="ts-explorer $id">
<style>
.$id { border: 1px solid var(--pst-color-border, #ccc); border-radius: .25rem; padding: .75rem; }
.$id .bar { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; }
.$id .bar[hidden] { display: none; }
.$id select { font: inherit; padding: .15rem .5rem; color: inherit; max-width: 100%;
  background: var(--pst-color-surface, transparent); border: 1px solid currentColor;
  border-radius: .25rem; }
.$id option { background: var(--pst-color-background, Canvas); }
.$id :is(select, input):focus-visible { outline: 3px solid #0072B2; outline-offset: 2px; }
.$id svg { display: block; width: 100%; max-width: 620px; height: auto; margin-top: .5rem; }
.$id svg text { fill: currentColor; font-size: 12px; }
.$id .axis { stroke: currentColor; stroke-width: 1; opacity: .5; }
.$id .other { fill: none; stroke: currentColor; stroke-width: 1.2; opacity: .35; }
.$id .line { fill: none; stroke: #D55E00; stroke-width: 2.5; }
.$id .dot { fill: #0072B2; opacity: .8; }
.$id .mean { fill: none; stroke: #D55E00; stroke-width: 2.5; }
.$id p { margin: .5rem 0 0; }
</style>
<div class="bar" hidden="hidden">
<label>share of the weights that may move, k <input type="range" min="0" step="1" /></label>
<label>gain <select class="target"></select></label>
<label>text <select class="text"></select></label>
<label>harm <select class="harm"></select></label>
</div>
<div class="drawing"></div>
<p class="said" aria-live="polite">$first</p>
<script type="application/json">$data</script>
<script>/*<![CDATA[*/
for (const box of document.querySelectorAll(".$id:not(.alive)")) {
  box.classList.add("alive");
  const data = JSON.parse(box.querySelector("script").textContent);
  const find = (selector) => box.querySelector(selector), slider = find("input");
  const W = 620, H = 320, left = 70, right = 90, top = 12, low = 45;
  const shape = (tag, marks, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(marks)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const show = () => {
    const target = +find(".target").value, end = data.grid.indexOf(target);
    const text = find(".text").value, harm = +find(".harm").value, now = +slider.value;
    const values = data.values[text];
    const tasks = data.tasks.filter((_, i) => values.every((k) => k[i][end] !== null));
    const at = (k, task, g) => values[k][data.tasks.indexOf(task)][g][harm];
    const curve = (k) => [[0, harm ? 0 : null], ...data.grid.slice(0, end + 1).map(
      (gain, g) => [gain, mean(tasks.map((task) => at(k, task, g)))])];
    const curves = values.map((_, k) => curve(k));
    const log = harm === 0, points = tasks.map((task) => at(now, task, end));
    const ends = values.flatMap((_, k) => tasks.map((task) => at(k, task, end)));
    const all = [...curves.flat().map((p) => p[1]), ...ends].filter(
      (v) => v !== null && (!log || v > 0));
    const scale = (v) => log ? Math.log10(v) : v;
    let least = scale(Math.min(...all)), most = scale(Math.max(...all));
    if (log) { least = Math.floor(least); most = Math.ceil(most); }
    const height = H - top - low, width = W - left - right;
    const y = (v) => top + height * (1 - (scale(v) - least) / (most - least || 1));
    const x = (gain) => left + width * gain / target;
    const name = data.harms[harm], label = data.ks[now];
    const svg = shape("svg", {viewBox: `0 0 $${W} $${H}`, role: "img", "aria-label":
      `$${name} against gain for k = $${label}, beside the other values of k`});
    const line = (x1, y1, x2, y2) => shape("line", {class: "axis", x1, y1, x2, y2});
    const floor = top + height;
    svg.append(line(left, top, left, floor), line(left, floor, W - right, floor));
    const ticks = log ? Array.from({length: most - least + 1}, (_, i) => 10 ** (least + i))
      : [0, 1, 2, 3].map((i) => least + (most - least) * i / 3);
    for (const v of ticks) svg.append(line(left - 4, y(v), left, y(v)), shape("text",
      {x: left - 8, y: y(v) + 4, "text-anchor": "end"}, log ? +v.toPrecision(1) : v.toFixed(3)));
    for (const gain of [0, ...data.grid.slice(0, end + 1).filter((g) => Number.isInteger(g))])
      svg.append(shape("text", {x: x(gain), y: H - 28, "text-anchor": "middle"}, gain));
    svg.append(shape("text", {x: left + width / 2, y: H - 8, "text-anchor": "middle"},
      "gain of the margin (nats)"), shape("text", {x: 14, y: top + height / 2,
      "text-anchor": "middle", transform: `rotate(-90 14 $${top + height / 2})`}, name));
    curves.forEach((some, k) => {
      const kept = some.filter((p) => p[1] !== null && (!log || p[1] > 0));
      const path = kept.map((p) => x(p[0]) + "," + y(p[1])).join(" ");
      svg.append(shape("polyline", {class: k === now ? "line" : "other", points: path}));
      if (k === now) svg.append(shape("text",
        {x: W - right + 12, y: y(kept.at(-1)[1]) + 4}, "k = " + label));
    });
    for (const v of points) if (!log || v > 0)
      svg.append(shape("circle", {class: "dot", cx: x(target), cy: y(v), r: 4}));
    svg.append(shape("circle", {class: "mean", cx: x(target), cy: y(mean(points)), r: 8}));
    find(".drawing").replaceChildren(svg);
    slider.setAttribute("aria-valuetext", "k = " + label);
    const nats = target === 1 ? "nat" : "nats";
    find(".said").textContent = `k = $${label}: at a gain of $${target} $${nats}, the mean `
      + `$${name} on the text $${text} is $${mean(points).toPrecision(3)} nats a token, over the `
      + `$${tasks.length} tasks that got so far with every k (blue points).`;
  };
  const fill = (selector, pairs) => find(selector).append(
    ...pairs.map(([name, value]) => new Option(name, value)));
  slider.max = data.ks.length - 1;
  slider.value = data.ks.length - 1;
  fill(".target", data.targets.map((g) => [g + (g === 1 ? " nat" : " nats"), g]));
  fill(".text", Object.keys(data.values).map((name) => [name, name]));
  fill(".harm", data.harms.map((name, i) => [name, i]));
  slider.addEventListener("input", show);
  for (const one of box.querySelectorAll("select")) one.addEventListener("change", show);
  find(".bar").hidden = false;
  show();
}
/*]]>*/</script>
</div>
""")
HARMS = {"harm_kl": "divergence (KL)", "harm_loss": "rise of the loss"}


def balance(
    table: pd.DataFrame, targets: tuple[float, ...] = (1.0, 3.0, 5.0), by: str = "gain"
) -> Html:
    """Move k, and see what each gain costs on neutral text.

    Of every target, only tasks count that reached it with all k.

    Args:
        table: rows of `ladder.csv` of one model.
        targets: gains to choose from, nats; those that no task reached are left out.
        by: "gain" (held-out margin) or "gain_train".

    Raises:
        InputError: the table has no masked tuning, or no task reached any target.
    """
    data = costs(table, targets, by)
    text, target = next(iter(data["values"])), data["targets"][0]
    found = at_target(data, text, target)
    first = (
        f"At a gain of {target:g} nat{'s' * (target != 1)}, mean divergence on the text "
        f"{text} over the {len(found)} tasks that got so far with every k: "
        + "; ".join(f"{mean:.3g} with k = {k}" for k, mean in found.mean().items())
    )
    return Html(
        BALANCE.substitute(
            id=f"ts-{key_of(data)}", first=html.escape(f"{first}."), data=inert(data)
        )
    )


def costs(table, targets=(1.0, 3.0, 5.0), by="gain") -> dict:
    """What a balance weighs; arguments and errors are those of `balance`.

    Returns:
        ks, as text; tasks; targets; grid: gains on the way to them, nats; harms, by name; values:
        of each text, for each k, task and gain of the grid the harms, nats a token; None for a gain
        that the task did not reach.
    """
    share = {
        name: rung.settings["k"]
        for name, rung in ladder.RUNGS.items()
        if "loss" not in rung.settings and not rung.penalty
    }
    table = table[table["rung"].isin(share)]
    nothing = InputError("no task reached any of the targets with every k: choose smaller ones")
    if table.empty:
        raise nothing
    grid = sorted({*targets, *(g / 4 for g in range(1, int(4 * max(targets)) + 1))})
    found = pd.concat([equal_gain.at_gain(table, g, by).assign(grid=g) for g in grid])
    able = found.groupby("rung")["reached"].any()
    ks = [name for name in sorted(share, key=share.get) if able.get(name, False)]
    found = found[found["rung"].isin(ks)]
    counts = found.groupby(["grid", "source"])["reached"].all().groupby("grid").sum()
    targets = tuple(g for g in targets if counts.get(g, 0) > 0)
    if not targets:
        raise nothing
    tasks = sorted(found["source"].unique())
    cells = found.set_index(["text", "rung", "source", "grid"])[[*HARMS, "reached"]].to_dict(
        "index"
    )
    values = {
        text: [[[_cost(cells[text, k, task, g]) for g in grid] for task in tasks] for k in ks]
        for text in sorted(found["text"].unique())
    }
    return {"ks": [f"{100 * share[k]:g} %" for k in ks], "tasks": tasks, "grid": grid,
            "targets": list(targets), "harms": list(HARMS.values()), "values": values}  # fmt: skip


def at_target(data: dict, text: str, gain: float, harm: int = 0) -> pd.DataFrame:
    """One harm of a gain, nats a token: a row a task that reached it with every k, a column a k.

    Args:
        data: what `costs` gives.
        gain: one of its grid.
        harm: the place of one of its harms.
    """
    end, by_k = data["grid"].index(gain), data["values"][text]
    kept = [i for i in range(len(data["tasks"])) if all(of_k[i][end] for of_k in by_k)]
    rows = [[of_k[i][end][harm] for of_k in by_k] for i in kept]
    return pd.DataFrame(rows, [data["tasks"][i] for i in kept], data["ks"], dtype=float)


def _cost(cell: dict) -> list[float] | None:
    return [float(f"{cell[name]:.4g}") for name in HARMS] if cell["reached"] else None
