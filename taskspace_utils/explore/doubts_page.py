"""What raising doubts is in a browser: markup, rules and script; `doubts` gives it its data.

The script's verdicts are those of `doubts.neighbourhood`, and a test holds them against it.
"""

LIVE = """
<div class="bar">
<label>task <select class="task"></select></label>
<label>a neighbour must exceed <input class="level" type="range" min="50" max="99" step="1" />
<output></output> of its rivals</label>
</div>
<fieldset class="raised"><legend>doubts</legend></fieldset>
<p class="told" role="status"></p>
<div class="near" role="region" tabindex="0" aria-label="the nearest tasks"></div>
<label class="reveal"><input class="planted" type="checkbox" /> show what was planted</label>
"""

STYLE = """
.@id input[type="range"] { width: 7rem; vertical-align: middle; }
.@id output { display: inline-block; min-width: 2.8em; }
.@id fieldset { display: flex; flex-wrap: wrap; gap: .1rem 1rem; border: 0; padding: 0;
  margin: .5rem 0 0; min-width: 0; }
.@id legend { float: left; width: auto; font: inherit; font-weight: 600; padding: 0; margin: 0; }
.@id .near { overflow-x: auto; margin: .5rem 0; }
.@id.@id table { width: auto; border-collapse: collapse; font-size: .8em; margin: 0; }
.@id :is(td, th) { padding: .15rem .2rem; text-align: right; }
.@id :is(td, th):first-child, .@id .near .words { text-align: left; }
.@id .near td:not(.words) { white-space: nowrap; }
.@id .near thead th { vertical-align: bottom; font-size: .9em; }
.@id .still img { display: block; }
.@id .yes { background: rgba(0, 114, 178, .16); }
.@id .no { background: rgba(213, 94, 0, .22); }
.@id .stands :is(th, td) { font-weight: 600; }
.@id .falls th { font-weight: 400; }
"""

SCRIPT = """
const n = data.tasks.length, task = find(".task"), level = find(".level");
const shown = find(".planted");
const square = (upper) => {
  const full = Array.from({length: n}, () => new Array(n).fill(null));
  let k = 0;
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++)
    full[i][j] = full[j][i] = upper[k++];
  return full;
};
const cosine = square(data.cosines), shares = data.doubts.map(([, upper]) => square(upper));
const kind = data.planted ? square(data.planted[1].map((i) => data.planted[0][i])) : null;
find(".reveal").hidden = !kind;
for (const name of new Set(data.phenomena)) {
  const group = make("optgroup", "");
  group.label = name;
  data.tasks.forEach((one, i) => {
    if (data.phenomena[i] === name) group.append(new Option(one, i));
  });
  task.append(group);
}
const boxes = data.doubts.map(([name]) => {
  const box = make("input", "");
  box.type = "checkbox";
  box.addEventListener("change", () => show());
  find(".raised").append(make("label", "", box, " " + name));
  return box;
});
const say = (v, digits) => v.toFixed(digits).replace("-", "−");
const count = (k, one) => `${k} ${one}${k === 1 ? "" : "s"}`;
const show = () => {
  const i = +task.value, least = +level.value;
  level.parentNode.querySelector("output").textContent = level.value + " %";
  level.setAttribute("aria-valuetext", level.value + " %");
  const raised = boxes.flatMap((box, d) => box.checked ? [d] : []);
  const verdict = (j) => {
    const met = raised.map((d) => shares[d][i][j]);
    if (met.some((v) => v !== null && v < least)) return "falls";
    return met.includes(null) ? "can't be told" : "stands";
  };
  const others = data.tasks.map((_, j) => j).filter((j) => j !== i && cosine[i][j] !== null);
  others.sort((a, b) => cosine[i][b] - cosine[i][a]);
  const near = others.slice(0, data.n);
  box.found = near.map((j) => [data.tasks[j], verdict(j)]);
  const seen = raised.map((d) => data.doubts[d][0]);
  const head = ["task", "verdict", ...shown.checked ? ["planted"] : [], "cosine", ...seen];
  const rows = near.map((j) => {
    const now = verdict(j), row = make("tr", now === "stands" ? "stands" : "falls",
      make("th", "", data.tasks[j]), make("td", "words", now));
    row.firstChild.scope = "row";
    if (shown.checked) row.append(make("td", "words", kind[i][j]));
    row.append(make("td", "", say(cosine[i][j], 2)));
    for (const d of raised) {
      const v = shares[d][i][j], good = v >= least;
      row.append(v === null ? make("td", "", "–") : make("td", good ? "yes" : "no",
        `${good ? "✓" : "✗"} ${v}`));
    }
    return row;
  });
  const titles = make("tr", "", ...head.map((name) => {
    const cell = make("th", ["verdict", "planted"].includes(name) ? "words" : "", name);
    cell.scope = "col";
    return cell;
  }));
  find(".near").replaceChildren(make("table", "", make("thead", "", titles),
    make("tbody", "", ...rows)));
  const left = near.filter((j) => verdict(j) === "stands").map((j) => data.tasks[j]);
  const all = others.filter((j) => verdict(j) === "stands");
  const tally = {};
  for (const j of all) if (kind) tally[kind[i][j]] = (tally[kind[i][j]] || 0) + 1;
  const known = Object.entries(tally).map(([name, k]) => `${name} ${k}`).join(", ");
  find(".told").textContent = !raised.length
    ? `Nobody doubts the ${count(near.length, "task")} nearest to ${data.tasks[i]} yet.`
    : `${left.length} of the ${count(near.length, "task")} nearest to ${data.tasks[i]} `
      + `${left.length === 1 ? "withstands" : "withstand"} ${count(raised.length, "doubt")} at `
      + `${level.value} %${left.length ? ": " + left.join(", ") : ""}. `
      + `Of all ${count(others.length, "other")}, ${all.length} ${all.length === 1 ? "does" : "do"}`
      + (shown.checked && known ? ` (planted: ${known}).` : ".");
};
task.addEventListener("change", show);
level.addEventListener("input", show);
shown.addEventListener("change", show);
level.value = data.level;
show();
"""
