"""The microscope: pairs of a task, word by word, token by token, and what is known of the task."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from string import Template

import pandas as pd

from taskspace_utils.explore.frame import inert
from taskspace_utils.explore.markup import Html
from taskspace_utils.pairs import differing
from taskspace_utils.store import InputError, key_of


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
<div class="bar" hidden="hidden"><label>task <select></select></label>
<button type="button">another pair</button> <span class="count"></span></div>
<dl class="about simple"></dl>
<div class="pair" aria-live="polite">$first</div>
<div class="more"></div>
<script type="application/json">$data</script>
<script>/*<![CDATA[*/
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
/*]]>*/</script>
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
    data = slides(pairs, about, checks, tokenizers, n)
    first = sides(data["tasks"][next(iter(data["groups"].values()))[0]]["pairs"][0])
    return Html(MICROSCOPE.substitute(id=f"ts-{key_of(data)}", first=first, data=inert(data)))


def sides(pair: tuple[str, str, str, str]) -> str:
    """A `difference` as two lines of markup, in which what differs is marked."""
    start, good, bad, end = map(html.escape, pair)
    return "".join(
        f'<p class="{side}"><span class="side">{side}</span> {start} <b>{middle}</b> {end}</p>'
        for side, middle in (("good", good), ("bad", bad))
    )


def slides(pairs, about=None, checks=None, tokenizers=None, n=8) -> dict:
    """What lies under a microscope; arguments and errors are those of `microscope`.

    Returns:
        groups: the tasks of each phenomenon. tasks: of each its facts (about) and checks as names
        and values, its pairs as `difference` gives them, and the token ids of both sides of each
        pair by tokenizer. tokens: by tokenizer, each id's text and whether it goes on with a word.
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
    return {"groups": dict(sorted(groups.items())), "tasks": tasks, "tokens": texts}


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
