"""Verdicts under other rules: move the smallest effects, and the intervals, and see what turns."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from taskspace_utils import claims
from taskspace_utils.explore.frame import frame
from taskspace_utils.explore.markup import Html
from taskspace_utils.store import InputError

LIVE = """
<div class="bar">
<label>smallest effects × <input class="factor" type="range" min="-12" max="12" value="0" />
<output></output></label>
<label>width of intervals × <input class="width" type="range" min="-12" max="4" value="0" />
<output></output></label>
<button type="button">as they were fixed</button>
</div>
<p class="told" role="status"></p>
<div class="rows"></div>
"""

STYLE = """
.@id input { width: 7rem; vertical-align: middle; }
.@id output { display: inline-block; min-width: 2.6em; }
.@id.@id table { width: 100%; border-collapse: collapse; font-size: .85em; margin: .5rem 0 0; }
.@id :is(td, th) { padding: .15rem .5rem; text-align: left; vertical-align: top; }
.@id .turned td { font-weight: 600; }
.@id svg { display: block; width: 9rem; height: 1.2rem; }
.@id .band { fill: currentColor; opacity: .15; }
.@id .bar1 { stroke: currentColor; stroke-width: 2; }
.@id .dot { fill: #0072B2; }
@media (max-width: 480px) { .@id svg { display: none; } }
"""

SCRIPT = """
const factor = find(".factor"), width = find(".width"), told = find(".told");
const verdict = (rule, s, low, high) => {
  const [yes, no] = {
    "positive": [low > s, high < -s],
    "non-inferior": [low > -s, high < -s],
    "at least": [low >= s, high < s],
    "at most": [high <= s, low > s],
  }[rule];
  if (yes || no) return yes ? "consistent" : "contrary";
  return rule === "positive" && -s <= low && high <= s ? "negligible" : "undetermined";
};
const say = (v) => String(+v.toPrecision(3)).replace("-", "−");
const drawn = (row, low, high, s) => {
  const ends = [row.low, row.high, -2 * row.smallest, 2 * row.smallest, 0];
  const from = Math.min(...ends), to = Math.max(...ends);
  const x = (v) => Math.max(0, Math.min(100, 5 + 90 * (v - from) / (to - from || 1)));
  const svg = shape("svg", {viewBox: "0 0 100 14", preserveAspectRatio: "none",
    "aria-hidden": "true"});
  const below = row.rule === "at least" || row.rule === "at most" ? 0 : -s;
  svg.append(shape("rect", {class: "band", x: x(below), width: x(s) - x(below), y: 0, height: 14}),
    shape("line", {class: "bar1", x1: x(low), x2: x(high), y1: 7, y2: 7}),
    shape("rect", {class: "dot", x: x(row.estimate) - 1, y: 3, width: 2, height: 8}));
  return svg;
};
const show = () => {
  const f = 2 ** (factor.value / 4), w = 2 ** (width.value / 4);
  for (const [slider, value] of [[factor, f], [width, w]]) {
    slider.parentNode.querySelector("output").textContent = say(value);
    slider.setAttribute("aria-valuetext", "times " + say(value));
  }
  const counts = {};
  let turned = 0;
  const rows = data.map((row) => {
    const [low, high] = [row.low, row.high].map((end) => row.estimate + w * (end - row.estimate));
    const s = f * row.smallest, now = verdict(row.rule, s, low, high), same = now === row.verdict;
    counts[now] = (counts[now] || 0) + 1;
    turned += !same;
    return make("tr", same ? "" : "turned", make("td", "", row.claim),
      make("td", "verdict", now + (same ? "" : `, not ${row.verdict}`)),
      make("td", "", `${say(row.estimate)} [${say(low)}, ${say(high)}] ${row.unit}`),
      make("td", "", `${row.rule}, ${say(s)}`), make("td", "", drawn(row, low, high, s)));
  });
  const head = make("tr", "", ...["claim", "verdict", "number", "rule", ""].map((t) =>
    make(t ? "th" : "td", "", t)));
  find(".rows").replaceChildren(make("table", "", head, ...rows));
  told.textContent = Object.entries(counts).map(([name, n]) => `${name}: ${n}`).join(", ") + ". "
    + (turned ? `${turned} of ${data.length} verdicts are not those of the ledger (bold).`
      : "These are the ledger's verdicts.");
};
for (const slider of [factor, width]) slider.addEventListener("input", show);
find("button").addEventListener("click", () => { factor.value = width.value = 0; show(); });
show();
"""


def under(table: pd.DataFrame, factor: float = 1.0, width: float = 1.0) -> pd.Series:
    """The verdicts if the smallest effects, or the intervals around the estimates, were others.

    Args:
        table: rows of `rules_of`.
        factor: times every smallest effect.
        width: times the distance of each interval's ends from its estimate.
    """
    return pd.Series(
        {
            row.claim: claims.verdict(
                row.rule,
                factor * row.smallest,
                row.estimate + width * (row.low - row.estimate),
                row.estimate + width * (row.high - row.estimate),
            )
            for row in table.itertuples()
        },
        dtype=object,
    )


def rules_of(verdicts: pd.DataFrame, ledger: list[claims.Claim]) -> pd.DataFrame:
    """The attempted verdicts with their rules: claim, estimate, low, high, smallest, rule, …

    Raises:
        InputError: no claim was attempted, so there is no interval to judge.
    """
    rules = {claim.id: claim.rule for claim in ledger}
    columns = ["claim", "estimate", "low", "high", "smallest", "unit", "verdict"]
    table = verdicts.loc[verdicts["verdict"] != "not attempted", columns]
    table = table[np.isfinite(table[["estimate", "low", "high"]].astype(float)).all(axis=1)]
    if table.empty:
        raise InputError("no claim was attempted in this run, so there is no verdict to turn")
    return table.assign(rule=table["claim"].map(rules)).reset_index(drop=True)


def verdict_rules(verdicts: pd.DataFrame, ledger: list[claims.Claim]) -> Html:
    """Slide all smallest effects, or all widths of intervals, and see which verdicts turn.

    Args:
        verdicts: what `claims.verdicts` gives.
        ledger: what `claims.ledger` gives.
    """
    table = rules_of(verdicts, ledger)
    numbers = {name: table[name].astype(float) for name in ("estimate", "low", "high", "smallest")}
    data = table.assign(**numbers).to_dict("records")
    halved, doubled = (under(table, factor) for factor in (0.5, 2.0))
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"
        for cells in zip(table["claim"], halved, table["verdict"], doubled, strict=True)
    )
    still = (
        "<table><thead><tr><th>claim</th><th>smallest effect halved</th><th>as fixed</th>"
        f"<th>doubled</th></tr></thead><tbody>{rows}</tbody></table>"
    )
    return frame(data, LIVE, still, SCRIPT, STYLE)
