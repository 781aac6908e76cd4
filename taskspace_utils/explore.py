"""Explorers: small pages inside a page, alive in a browser without a kernel.

Each is one piece of HTML with its data and a few lines of JavaScript in it. Text from data reaches
the page only as text, never as markup, and without JavaScript something can still be read.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from string import Template

import pandas as pd

from taskspace_utils import equal_gain, ladder
from taskspace_utils.pairs import differing
from taskspace_utils.store import InputError, key_of


class Html(str):
    """Markup that a notebook shows as it is."""

    def __repr__(self) -> str:
        return f"<Html, {len(self)} characters>"

    def _repr_html_(self) -> str:
        return str(self)


def difference(good: str, bad: str) -> tuple[str, str, str, str]:
    """What two sentences share at the start, what each has in between, what they share at the end.

    Counted in words; the parts joined by spaces give the sentences.
    """
    a, b = good.split(), bad.split()
    (start, end), (_, other) = differing(a, b), differing(b, a)
    return tuple(" ".join(part) for part in (a[:start], a[start:end], b[start:other], a[end:]))


MICROSCOPE = Template("""
<div class="ts-explorer $id">
<style>
.$id { border: 1px solid var(--pst-color-border, #ccc); border-radius: .25rem; padding: .75rem; }
.$id .bar { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
.$id .bar[hidden] { display: none; }
.$id select { max-width: 100%; }
.$id :is(select, button) { font: inherit; padding: .15rem .5rem; color: inherit;
  background: var(--pst-color-surface, transparent); border: 1px solid currentColor;
  border-radius: .25rem; }
.$id :is(select, button):focus-visible { outline: 3px solid #0072B2; outline-offset: 2px; }
.$id optgroup, .$id option { background: var(--pst-color-background, Canvas); }
.$id p { margin: .6rem 0 0; }
.$id .head { font-size: .9em; font-weight: 600; }
.$id .pair p { font-size: 1.1em; margin: .3rem 0; line-height: 1.6;
  padding-left: 3em; text-indent: -3em; }
.$id .side { display: inline-block; width: 3em; text-indent: 0; }
.$id :is(.side, .count, dt, small) { color: var(--pst-color-text-muted, inherit); }
.$id b { text-decoration: underline; text-underline-offset: .2em; text-decoration-thickness: 2px; }
.$id .good b { text-decoration-color: #0072B2; }
.$id .bad b { text-decoration-color: #D55E00; text-decoration-style: wavy; }
.$id.$id dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem .75rem; margin: .6rem 0 0;
  font-size: .9em; }
.$id.$id .checks { display: flex; flex-wrap: wrap; column-gap: 1.5rem; }
.$id .checks div { display: flex; gap: .4rem; }
.$id.$id :is(dt, dd) { margin: 0; font-weight: 400; overflow-wrap: anywhere; }
.$id .cut { display: grid; grid-template-columns: 3em 1fr; font-size: .9em; margin: .3rem 0; }
.$id .chips { display: flex; flex-wrap: wrap; row-gap: .3rem; }
.$id .chip { border: 1px solid var(--pst-color-border, #999); padding: 0 .35em; text-align: center;
  margin-left: .3em; }
.$id .joined { margin-left: -1px; border-left-style: dotted; }
.$id .chip small { display: block; font-size: .75em; }
</style>
<div class="bar" hidden><label>task <select></select></label>
<button type="button">another pair</button> <span class="count"></span></div>
<dl class="about simple"></dl>
<div class="pair" aria-live="polite">$first</div>
<div class="more"></div>
<script type="application/json">$data</script>
<script>
for (const box of document.querySelectorAll(".$id:not(.alive)")) {
  box.classList.add("alive");
  const data = JSON.parse(box.querySelector("script").textContent);
  const find = (selector) => box.querySelector(selector), select = find("select");
  const make = (tag, name, ...inside) => {
    const made = document.createElement(tag);
    made.className = name;
    made.append(...inside);
    return made;
  };
  const facts = (rows) => rows.flatMap(([k, v]) => [make("dt", "", k), make("dd", "", v)]);
  const line = (side, start, middle, end) => make("p", side, make("span", "side", side),
    start && start + " ", middle && make("b", "", middle), middle && " ", end);
  const chip = (texts, id) => make("span", texts[id][1] ? "chip joined" : "chip", texts[id][0],
    make("small", "", id));
  const cut = (texts, side, ids) => make("div", "cut", make("span", "side", side),
    make("div", "chips", ...ids.map((id) => chip(texts, id))));
  const sides = ["good", "bad"];
  let unseen = [];
  const show = (i) => {
    const task = data.tasks[select.value], [start, good, bad, end] = task.pairs[i];
    find(".pair").replaceChildren(line("good", start, good, end), line("bad", start, bad, end));
    find(".about").replaceChildren(...facts(task.about));
    find(".count").textContent = "pair " + (i + 1) + " of the " + task.pairs.length + " kept here";
    find(".more").replaceChildren(...Object.entries(data.tokens).flatMap(([name, texts]) => {
      const ids = task.tokens[name][i], counts = ids.map((some) => some.length).join(" and ");
      return [make("p", "head", name + ": " + counts + " tokens, each above its number"),
        ...sides.map((side, k) => cut(texts, side, ids[k]))];
    }));
    if (task.checks.length) find(".more").append(make("p", "head", "checks of the whole task"),
      make("dl", "checks simple", ...task.checks.map((one) => make("div", "", ...facts([one])))));
  };
  const fresh = () => {
    unseen = data.tasks[select.value].pairs.map((_, i) => i).slice(1);
    show(0);
  };
  for (const [phenomenon, tasks] of Object.entries(data.groups)) {
    const group = make("optgroup", "");
    group.label = phenomenon;
    group.append(...tasks.map((name) => new Option(name.replaceAll("_", " "), name)));
    select.append(group);
  }
  select.addEventListener("change", fresh);
  find("button").addEventListener("click", () => {
    if (!unseen.length) unseen = data.tasks[select.value].pairs.map((_, i) => i);
    show(unseen.splice(Math.floor(Math.random() * unseen.length), 1)[0]);
  });
  find(".bar").hidden = false;
  fresh();
}
</script>
</div>
""")
FACTS = ("rule", "frame", "example", "demands", "sham_of", "bag_exception", "source")


def microscope(
    pairs: pd.DataFrame,
    about: pd.DataFrame | None = None,
    checks: pd.DataFrame | None = None,
    tokenizers: Mapping[str, object] | None = None,
    n: int = 8,
) -> Html:
    """Choose a task; see its rule, random pairs with what differs marked, tokens, and checks.

    Args:
        pairs: a table of pairs.
        about: one row a task, such as `Grammar.tasks()`; of its columns those in FACTS are shown.
            Without it, what `pairs` says.
        checks: one row a task, such as `check_table` gives; its columns are shown, but for empty
            ones.
        tokenizers: fast tokenizers by the name that stands above their tokens.
        n: at most so many pairs of each task travel with the page; the first ones.

    Raises:
        InputError: `pairs` is empty, `n` is below 1, or `about` or `checks` lacks one of its tasks.
    """
    if pairs.empty or n < 1:
        raise InputError("a microscope needs at least one pair")
    shown = pairs.groupby("task").head(n).sort_values("task", kind="stable")
    about = _rows(pairs.drop_duplicates("task") if about is None else about, shown, "about")
    checks = pd.DataFrame({"task": list(about)}) if checks is None else checks
    checks = _rows(checks.dropna(axis=1, how="all"), shown, "checks")
    groups: dict[str, list[str]] = {}
    tasks = {}
    for task, some in shown.groupby("task", sort=True):
        groups.setdefault(str(some["phenomenon"].iloc[0]).replace("_", " "), []).append(task)
        tasks[task] = {
            "about": [fact for fact in map(_fact, FACTS, map(about[task].get, FACTS)) if fact[1]],
            "checks": [_fact(k, v) for k, v in checks[task].items() if k not in KEYS],
            "pairs": [difference(*both) for both in zip(some["good"], some["bad"], strict=True)],
            "tokens": {},
        }
    texts = {name: _cut(tokenizer, shown, tasks, name)
             for name, tokenizer in (tokenizers or {}).items()}  # fmt: skip
    groups = dict(sorted(groups.items()))
    data = {"groups": groups, "tasks": tasks, "tokens": texts}
    start, good, bad, end = tasks[next(iter(groups.values()))[0]]["pairs"][0]
    first = "".join(
        f'<p class="{side}"><span class="side">{side}</span> '
        f"{html.escape(start)} <b>{html.escape(middle)}</b> {html.escape(end)}</p>"
        for side, middle in (("good", good), ("bad", bad))
    )
    inert = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # can't end the script
    return Html(MICROSCOPE.substitute(id=f"ts-{key_of(data)}", first=first, data=inert))


KEYS = ("task", "phenomenon")


def _rows(table: pd.DataFrame, shown: pd.DataFrame, name: str) -> dict[str, dict]:
    rows = {row["task"]: row for row in table.to_dict("records")}
    if missing := sorted(set(shown["task"]) - set(rows)):
        raise InputError(f"`{name}` has no row for {', '.join(missing)}")
    return rows


def _fact(name: str, value: object) -> tuple[str, str]:
    """A column's name and a value of it, as a reader sees them; "" for what isn't there."""
    text = "" if value is None else str(value)
    if isinstance(value, float):
        text = "none" if math.isnan(value) else f"{value:.2f}"
    if name == "demands":  # names, parted by spaces
        text = ", ".join(text.split())
    if name in ("frame", "demands", "sham_of"):
        text = text.replace("_", " ")
    return name.replace("_", " "), text


def _cut(tokenizer, shown: pd.DataFrame, tasks: dict, name: str) -> dict[int, tuple[str, bool]]:
    """Adds the token ids of the shown pairs to `tasks`.

    Returns:
        For each id its text, and whether it goes on with the word of the token before it.
    """
    texts: dict[int, tuple[str, bool]] = {}
    both = []
    for side in ("good", "bad"):
        coded = tokenizer(list(shown[side]), add_special_tokens=False)
        both.append(coded["input_ids"])
        for row, ids in enumerate(coded["input_ids"]):
            words = coded.word_ids(row)
            for token, word, before in zip(ids, words, [None, *words], strict=False):
                if token not in texts:
                    texts[token] = (tokenizer.decode([token]).strip() or "␣", word == before)
    for task, *ids in zip(shown["task"], *both, strict=True):
        tasks[task]["tokens"].setdefault(name, []).append(ids)
    return texts


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
<div class="bar" hidden>
<label>share of the weights that may move, k <input type="range" min="0" step="1"></label>
<label>gain <select class="target"></select></label>
<label>text <select class="text"></select></label>
<label>harm <select class="harm"></select></label>
</div>
<div class="drawing"></div>
<p class="said" aria-live="polite">$first</p>
<script type="application/json">$data</script>
<script>
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
  for (const one of box.querySelectorAll("input, select")) one.addEventListener("input", show);
  find(".bar").hidden = false;
  show();
}
</script>
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
    data = {"ks": [f"{100 * share[k]:g} %" for k in ks], "tasks": tasks, "grid": grid,
            "targets": list(targets), "harms": list(HARMS.values()), "values": values}  # fmt: skip
    text, end = next(iter(values)), grid.index(targets[0])
    kept = [i for i in range(len(tasks)) if all(of_k[i][end] for of_k in values[text])]
    means = [sum(of_k[i][end][0] for i in kept) / len(kept) for of_k in values[text]]
    first = (
        f"At a gain of {targets[0]:g} nat{'s' * (targets[0] != 1)}, mean divergence on the text "
        f"{text} over the {len(kept)} tasks that got so far with every k: "
        + "; ".join(f"{mean:.3g} with k = {k}" for k, mean in zip(data["ks"], means, strict=True))
    )
    inert = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Html(
        BALANCE.substitute(id=f"ts-{key_of(data)}", first=html.escape(f"{first}."), data=inert)
    )


def _cost(cell: dict) -> list[float] | None:
    return [float(f"{cell[name]:.4g}") for name in HARMS] if cell["reached"] else None


def picture(figure, alt: str, width: int = 700) -> Html:
    """A matplotlib figure as HTML that carries its own description, to be shown on other pages."""
    import base64
    import io

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150, bbox_inches="tight")
    data = base64.b64encode(file.getvalue()).decode()
    return Html(
        f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" width="{width}" '
        'style="max-width: 100%; height: auto">'
    )
