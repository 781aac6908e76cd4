"""What the atlas is in a browser: its markup, rules and script; `atlas` gives it its data."""

LIVE = """
<div class="bar">
<label>scale <input class="scale" type="range" min="0" step="1" /> <output></output></label>
<label>step <input class="step" type="range" min="0" step="1" /> <output></output></label>
<label>measure <select class="measure"></select></label>
</div>
<p class="now" role="status"></p>
<div class="two">
<div class="grid" tabindex="0" role="application"></div>
<div class="map"></div>
</div>
<ul class="key"></ul>
<div class="bar">
<label>row <select class="row"></select></label>
<label>column <select class="column"></select></label>
</div>
<p class="said" role="status"></p>
<div class="through" role="region" tabindex="0" aria-label="this cell in all models"></div>
<div class="words"></div>
"""

STYLE = """
.@id input[type="range"] { width: 7rem; vertical-align: middle; }
.@id output { display: inline-block; min-width: 3.2em; }
.@id .two { display: flex; flex-wrap: wrap; gap: 1rem; margin-top: .5rem; }
.@id .two > div { flex: 1 1 250px; min-width: 0; max-width: 460px; }
.@id svg { display: block; width: 100%; height: auto; }
.@id .grid { cursor: crosshair; }
.@id .edge { stroke: #000000; stroke-width: .12; }
.@id .cursor { fill: none; stroke: #000000; stroke-width: .4; }
.@id .halo { fill: none; stroke: #ffffff; stroke-width: 1; }
.@id .map g { transition: transform .5s; }
.@id .map text { font-size: 13px; }
.@id .ring { fill: none; stroke: currentColor; stroke-width: 2; }
.@id.@id .key { display: flex; flex-wrap: wrap; gap: .1rem 1rem; list-style: none; padding: 0;
  margin: .5rem 0; font-size: .85em; }
.@id .key svg { display: inline-block; width: 14px; height: 14px; vertical-align: -2px; }
.@id .bar select { max-width: 15rem; }
.@id.@id table { border-collapse: collapse; font-size: .85em; margin: .5rem 0; width: auto; }
.@id .through { overflow-x: auto; }
.@id :is(td, th) { padding: .1rem .5rem; text-align: right; }
.@id .words { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; }
.@id .words > div { flex: 1 1 15rem; min-width: 0; }
.@id .words p { overflow-wrap: anywhere; }
.@id .words b { text-decoration: underline; text-underline-offset: .2em; }
.@id .head { font-weight: 600; }
@media (prefers-reduced-motion: reduce) { .@id .map g { transition: none; } }
"""

SCRIPT = """
const n = data.tasks.length, names = data.measures.map((m) => m[0]);
const paths = {o: "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z", s: "M-4-4H4V4H-4Z", D: "M0-6L6 0L0 6L-6 0Z",
  "^": "M0-6L6 5H-6Z", v: "M0 6L6-5H-6Z", P: "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z"};
data.cells = data.cells.map((kept) => {
  if (kept.length === n * n) return kept;
  const full = new Array(n * n);
  let k = 0;
  for (let i = 0; i < n; i++) for (let j = i; j < n; j++)
    full[i * n + j] = full[j * n + i] = kept[k++];
  return full;
});
const mark = (i, more) => shape("path", {d: paths[data.phenomena[i][2]],
  fill: data.phenomena[i][1], ...more});
const at = (view, i, j) => data.cells[view][i * n + j];
const say = (value) => value === null ? "no value" : (value / 1000).toFixed(2).replace("-", "−");
const scales = [...new Set(data.keys.map((key) => key[0]))];
const scale = find(".scale"), step = find(".step"), measure = find(".measure");
const row = find(".row"), column = find(".column"), grid = find(".grid");
let [wanted, asked] = [data.keys[data.first][1], data.keys[data.first]], view = data.first;
scale.max = scales.length - 1;
scale.value = scales.indexOf(asked[0]);
for (const [name, label] of data.measures) measure.append(new Option(label, name));
measure.value = asked[2];
for (const one of [scale, step]) one.parentNode.hidden = one === scale && scales.length < 2;
measure.parentNode.hidden = names.length < 2;
const stepsNow = () => data.keys.flatMap((key, i) =>
  key[0] === scales[scale.value] && key[2] === measure.value ? [[key[1], i]] : []);
for (const select of [row, column]) data.phenomena.forEach(([label], p) => {
  const group = make("optgroup", "");
  group.label = label;
  data.tasks.forEach((task, i) => { if (data.of[i] === p) group.append(new Option(task, i)); });
  select.append(group);
});
data.phenomena.forEach(([label], p) => {
  const svg = shape("svg", {viewBox: "-7 -7 14 14", "aria-hidden": "true"});
  svg.append(mark(p, {}));
  find(".key").append(make("li", "", svg, " " + label));
});

const edge = 2.2, side = n + edge + .3;
const svg = shape("svg", {viewBox: `${-edge} ${-edge} ${side} ${side}`, "aria-hidden": "true",
  "shape-rendering": "crispEdges"});
const rects = data.cells[0].map((_, i) => shape("rect",
  {x: i % n, y: Math.floor(i / n), width: 1, height: 1}));
svg.append(...rects);
data.tasks.forEach((_, i) => {
  const fill = data.phenomena[data.of[i]][1];
  svg.append(shape("rect", {x: -1.7, y: i, width: 1.2, height: 1, fill}),
    shape("rect", {x: i, y: -1.7, width: 1, height: 1.2, fill}));
  if (i && data.of[i] !== data.of[i - 1]) svg.append(
    shape("line", {class: "edge", x1: 0, x2: n, y1: i, y2: i}),
    shape("line", {class: "edge", y1: 0, y2: n, x1: i, x2: i}));
});
const box1 = {width: 1, height: 1}, halo = shape("rect", {class: "halo", ...box1});
const cursor = shape("rect", {class: "cursor", ...box1});
svg.append(halo, cursor);
grid.append(svg);

const plane = shape("svg", {viewBox: "0 0 400 400", "aria-hidden": "true"});
const points = data.tasks.map((task, i) => {
  const g = shape("g", {});
  g.append(shape("circle", {r: 12, fill: "transparent"}), mark(data.of[i], {}));
  g.addEventListener("click", () => { row.value = i; choose(); });
  return g;
});
const rings = [0, 1].map(() => {
  const g = shape("g", {});
  g.append(shape("circle", {class: "ring", r: 10}), shape("text", {y: -14}));
  return g;
});
plane.append(...points, ...rings);
const mapped = data.maps.filter((map) => map).flat().filter((p) => p).flat();
const reach = Math.max(...mapped.map(Math.abs), 1);
if (mapped.length) find(".map").append(plane);
find(".map").hidden = !mapped.length;
// a measure without a map of its own is shown beside the cosines of the same model
const mapOf = () => data.maps[view] || data.maps.find((map, i) => map
  && data.keys[i][0] === data.keys[view][0] && data.keys[i][1] === data.keys[view][1]);
const place = (g, p) => {
  g.style.display = p ? "" : "none";
  const [x, y] = (p || [0, 0]).map((v) => 170 * v / reach);
  g.style.transform = `translate(${200 + x}px, ${200 - y}px)`;
};

const draw = () => {
  const steps = stepsNow(), limit = data.measures[names.indexOf(measure.value)][2];
  if (!steps.length) return;
  step.max = steps.length - 1;
  const near = steps.map(([s]) => Math.abs(s - wanted));
  step.value = near.indexOf(Math.min(...near));
  step.parentNode.hidden = steps.length < 2;
  view = steps[step.value][1];
  const [name, when] = data.keys[view];
  for (const [one, text] of [[scale, name], [step, when]]) {
    one.setAttribute("aria-valuetext", text);
    one.parentNode.querySelector("output").textContent = text;
  }
  let sums = [0, 0], counts = [0, 0];
  rects.forEach((rect, i) => {
    const value = data.cells[view][i], a = Math.floor(i / n), b = i % n;
    const part = Math.max(0, Math.min(1, (value / 1000 / limit + 1) / 2));
    rect.setAttribute("fill", value === null ? "#dddddd" : data.colours[Math.round(64 * part)]);
    if (value === null || a === b) return;
    const same = data.of[a] === data.of[b] ? 0 : 1;
    sums[same] += value;
    counts[same] += 1;
  });
  const mean = (k) => counts[k] ? say(sums[k] / counts[k]) : "no value";
  const map = mapOf();
  const signed = data.keys.some((key, k) => key[2] === measure.value
    && data.cells[k].some((value) => value < 0));
  find(".now").textContent = `Scale ${name}, step ${when}, ${measure.selectedOptions[0].text}: `
    + `mean ${mean(0)} within phenomena, ${mean(1)} between. Colours from `
    + `${signed ? "−" + limit + " (blue)" : "0 (white)"} to ${limit} (red); grey: no value.`
    + (mapped.length && !map ? " Too few tasks for a map." : "");
  points.forEach((g, i) => place(g, map && map[i]));
  choose();
};
const move = () => {
  const i = +row.value, j = +column.value;
  for (const one of [halo, cursor]) { one.setAttribute("x", j); one.setAttribute("y", i); }
  const back = at(view, j, i), there = at(view, i, j);
  const both = back === there ? "" : `; from column to row: ${say(back)}`;
  find(".said").textContent = `${data.tasks[i]} (row) and ${data.tasks[j]} (column): `
    + say(there) + both + ".";
};
const choose = () => {
  move();
  const i = +row.value, j = +column.value, map = mapOf();
  [i, j].forEach((task, k) => {
    place(rings[k], map && map[task]);
    const label = rings[k].lastChild, left = map && map[task] && map[task][0] < 0;
    label.textContent = k && i === j ? "" : data.tasks[task];
    label.setAttribute("text-anchor", left ? "start" : "end");
  });
  const rest = data.keys.map((key, k) => [key, k]).filter(([key]) => key[2] === measure.value);
  const steps = [...new Set(rest.map(([key]) => key[1]))].sort((a, b) => a - b);
  const head = make("tr", "", make("th", "", "this cell at step"), ...steps.map(
    (s) => make("th", "", String(s))));
  const rows = scales.map((s) => make("tr", "", make("th", "", s), ...steps.map((when) => {
    const one = rest.find(([key]) => key[0] === s && key[1] === when);
    return make("td", "", one ? say(at(one[1], i, j)) : "–");
  })));
  find(".through").hidden = rest.length < 2;
  find(".through").replaceChildren(...rest.length > 1 ? [make("table", "", head, ...rows)] : []);
  const tasks = i === j ? [i] : [i, j];
  find(".words").replaceChildren(...tasks.map((task) => make("div", "",
    make("p", "head", `${data.tasks[task]} (${data.phenomena[data.of[task]][0]})`),
    ...(data.pairs[task] || []).flatMap(([start, good, bad, end]) =>
      [["good", good], ["bad", bad]].map(([side, word]) => make("p", side, side + ": ",
        start && start + " ", word && make("b", "", word), word && " ", end))))));
};
const pointed = (event) => {
  const area = svg.getBoundingClientRect(), unit = area.width / side;
  const cell = [event.clientY - area.top, event.clientX - area.left].map(
    (v) => Math.floor(v / unit - edge));
  return cell.every((v) => v >= 0 && v < n) ? cell : null;
};
grid.setAttribute("aria-label", `Heat map, ${n} tasks by ${n} tasks. Arrow keys move, `
  + "Enter shows the pairs of both tasks.");
grid.addEventListener("click", (event) => {
  const cell = pointed(event);
  if (cell) [row.value, column.value] = cell, choose();
});
grid.addEventListener("keydown", (event) => {
  const ways = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
  const way = ways[event.key];
  if (way) {
    row.value = Math.max(0, Math.min(n - 1, +row.value + way[0]));
    column.value = Math.max(0, Math.min(n - 1, +column.value + way[1]));
    move();
  } else if (event.key === "Enter" || event.key === " ") choose();
  else return;
  event.preventDefault();
});
for (const select of [row, column]) select.addEventListener("input", choose);
for (const one of [scale, measure]) one.addEventListener("input", draw);
step.addEventListener("input", () => { wanted = stepsNow()[step.value][0]; draw(); });
row.value = 0;
column.value = Math.min(1, n - 1);
draw();
"""
