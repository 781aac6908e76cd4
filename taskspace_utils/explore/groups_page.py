"""What grouping tasks is in a browser: markup, rules and script; `groups` gives it its data.

The script's numbers are those of `groups.grouping`, and a test holds them against it.
"""

LIVE = """
<div class="bar">
<label>start from <select class="start"></select></label>
<button type="button" class="empty">no groups</button>
</div>
<p class="told" role="status"></p>
<div class="strip"></div>
<p class="tries"></p>
<div class="sorting"></div>
"""

STYLE = """
.@id details { border-top: 1px solid var(--pst-color-border, #ccc); padding: .25rem 0; }
.@id .sorting { margin-top: .5rem; border-bottom: 1px solid var(--pst-color-border, #ccc); }
.@id summary { cursor: pointer; }
.@id summary:focus-visible { outline: 3px solid #0072B2; outline-offset: 2px; }
.@id .rows { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr));
  gap: .25rem 1.5rem; padding: .4rem 0; }
.@id .rows label { display: flex; justify-content: space-between; gap: .5rem; min-width: 0; }
.@id .rows span { min-width: 0; overflow-wrap: anywhere; }
.@id .rows .all { font-weight: 600; grid-column: 1 / -1; justify-content: start; }
.@id svg { display: block; width: 100%; max-width: 620px; height: auto; margin-top: .5rem; }
.@id .ticks { stroke: currentColor; stroke-width: 1; opacity: .45; fill: none; }
.@id .mean { stroke: #D55E00; stroke-width: 3; }
.@id .axis { stroke: currentColor; stroke-width: 1; opacity: .5; }
.@id .tries { color: var(--pst-color-text-muted, inherit); font-size: .9em; }
.@id.@id table { width: auto; border-collapse: collapse; }
.@id :is(td, th) { padding: .15rem .6rem; text-align: right; }
@media (max-width: 480px) { .@id .rows { grid-template-columns: 1fr; } }
"""

SCRIPT = """
const n = data.tasks.length, group = new Array(n).fill(0);
const square = (upper, size) => {
  const full = Array.from({length: size}, () => new Float64Array(size));
  let k = 0;
  for (let i = 0; i < size; i++) for (let j = i + 1; j < size; j++)
    full[i][j] = full[j][i] = upper[k++];
  return full;
};
const cells = (full) => full.flatMap((row, i) => [...row.slice(i + 1)]);
const space = square(data.space, n), words = square(data.words, n);
const known = Math.max(...data.families) + 1;
const byFamily = (full) => {
  const make = () => Array.from({length: known}, () => new Float64Array(known));
  const sums = make(), counts = make();
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
    sums[data.families[i]][data.families[j]] += full[i][j];
    counts[data.families[i]][data.families[j]] += 1;
  }
  return sums.map((row, i) => row.map((sum, j) => sum / counts[i][j]));
};
const dot = (u, v) => u.reduce((sum, x, i) => sum + x * v[i], 0);
const average = (v) => v.length ? v.reduce((a, b) => a + b, 0) / v.length : NaN;
const centred = (v) => { const m = average(v); return v.map((x) => x - m); };
// what is left of a column beside a constant and the words
const beside = (w) => {
  const rival = centred(w), size = dot(rival, rival), some = size > 1e-12;
  return (v) => {
    const c = centred(v), share = some ? dot(c, rival) / size : 0;
    return some ? c.map((x, i) => x - share * rival[i]) : c;
  };
};
const flat = (v) => Math.max(...v) - Math.min(...v) < 1e-12;
const slope = (x, y, w) => {
  if (flat(x) || flat(y)) return NaN;
  const rest = beside(w), left = rest(x), size = dot(left, left);
  const [cx, cy] = [centred(x), centred(y)];
  if (size < 1e-9 * dot(cx, cx)) return NaN;
  return dot(left, rest(y)) / size * Math.sqrt(dot(cx, cx) / dot(cy, cy));
};
// double semi-partialling: what the words leave of the groups is permuted, families whole
const p = (sameSpace) => {
  const [x, y, w] = [sameSpace, space, words].map((one) => cells(byFamily(one)));
  if (known < 5 || flat(x) || flat(y)) return NaN;
  const rest = beside(w), left = rest(x), cx = centred(x), yr = rest(y), whole = dot(yr, yr);
  if (dot(left, left) < 1e-9 * dot(cx, cx)) return NaN;
  const t = (column) => {
    const part = rest(column), size = Math.max(dot(part, part), 1e-300), b = dot(part, yr) / size;
    return Math.abs(b) / Math.sqrt(Math.max((whole - b * b * size) / size, 1e-300));
  };
  const found = t(left), full = square(left, known), order = Array.from(full.keys());
  let seed = 1, beyond = 0;
  const random = () => { // mulberry32: the same p for the same groups
    seed = seed + 0x6D2B79F5 | 0;
    let r = Math.imul(seed ^ seed >>> 15, 1 | seed);
    r = r + Math.imul(r ^ r >>> 7, 61 | r) ^ r;
    return ((r ^ r >>> 14) >>> 0) / 4294967296;
  };
  for (let draw = 0; draw < data.permutations; draw++) {
    for (let i = known - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    beyond += t(cells(order.map((i) => order.map((j) => full[i][j])))) >= found * (1 - 1e-12);
  }
  return (beyond + 1) / (data.permutations + 1);
};
const told = () => {
  const same = group.map((a, i) => group.map((b, j) => i !== j && a && a === b ? 1 : 0));
  const x = cells(same), y = data.space, mean = (k) => average(y.filter((_, i) => x[i] === k));
  const within = mean(1), between = mean(0);
  return {within, between, difference: within - between, slope: slope(x, y, data.words),
    p: p(same), n_within: x.filter((one) => one).length, n_families: known, x};
};

const W = 620, H = 120, left = 75, lo = Math.min(...data.space), hi = Math.max(...data.space);
const at = (v) => left + (W - left - 15) * (v - lo) / (hi - lo || 1);
const say = (v, digits = 3) => Number.isNaN(v) ? "none" : v.toFixed(digits).replace("-", "−");
const strip = (now) => {
  const svg = shape("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label":
    "Similarities of pairs of tasks within and between groups; thick bars are their means"});
  [["within", 1, now.within, 25], ["between", 0, now.between, 65]].forEach(([name, k, mean, y]) => {
    const tick = (v, i) => now.x[i] === k ? `M${at(v).toFixed(1)} ${y - 9}v18` : "";
    const ticks = data.space.map(tick);
    svg.append(shape("text", {x: left - 8, y: y + 4, "text-anchor": "end"}, name),
      shape("path", {class: "ticks", d: ticks.join("")}));
    if (!Number.isNaN(mean)) svg.append(
      shape("line", {class: "mean", x1: at(mean), x2: at(mean), y1: y - 15, y2: y + 15}));
  });
  svg.append(shape("line", {class: "axis", x1: left, x2: W - 15, y1: 88, y2: 88}));
  for (const v of lo < 0 && hi > 0 ? [lo, 0, hi] : [lo, hi])
    svg.append(shape("text", {x: at(v), y: 104, "text-anchor": "middle"}, say(v, 2)));
  svg.append(shape("text", {x: (left + W) / 2, y: 118, "text-anchor": "middle"}, "similarity"));
  find(".strip").replaceChildren(svg);
};
const start = find(".start"), seen = new Set();
const show = () => {
  const now = told();
  box.found = now;
  seen.add(group.join());
  strip(now);
  find(".told").textContent = now.n_within
    ? `Within groups ${say(now.within)} (${now.n_within} pairs of tasks), between them `
      + `${say(now.between)}: a difference of ${say(now.difference)}. Slope beside the words: `
      + `${say(now.slope)} standard deviations. Families permuted: p = ${say(now.p)}`
      + (Number.isNaN(now.p) ? known < 5 ? `; ${known} families are too few for it.`
        : ", since the groups say nothing between families that words do not say." : ".")
    : "No two tasks are in one group: put some together.";
  find(".tries").textContent = seen.size < 2 ? "" : `You have tried ${seen.size} groupings. `
    + "The best p of several is smaller than a p that was asked for once.";
  fields.forEach((select, i) => { select.value = group[i]; });
  for (const [fold, tasks] of folds) {
    const used = [...new Set(tasks.map((i) => group[i]))].sort((a, b) => a - b);
    fold.querySelector("i").textContent = used.map((g) => g || "none").join(", ");
    fold.querySelector(".all select").value = used.length === 1 ? used[0] : "";
  }
};
const most = Math.max(8, ...Object.values(data.presets).flat());
const choice = (more) => make("select", "", ...more, new Option("none", 0),
  ...Array.from({length: most}, (_, i) => new Option(i + 1, i + 1)));
const fields = [], folds = [];
for (const name of new Set(data.phenomena)) {
  const tasks = data.tasks.flatMap((_, i) => data.phenomena[i] === name ? [i] : []);
  const all = choice([new Option("as below", "")]);
  all.addEventListener("input", () => {
    if (all.value !== "") for (const i of tasks) group[i] = +all.value;
    show();
  });
  const rows = tasks.map((i) => {
    fields[i] = choice([]);
    fields[i].addEventListener("input", () => { group[i] = +fields[i].value; show(); });
    return make("label", "", make("span", "", data.tasks[i]), fields[i]);
  });
  const fold = make("details", "", make("summary", "", `${name}: ${tasks.length} `
    + `task${tasks.length > 1 ? "s" : ""}, group `, make("i", "")),
    make("div", "rows", make("label", "all", "all of them ", all), ...rows));
  folds.push([fold, tasks]);
  find(".sorting").append(fold);
}
const begin = (labels) => { labels.forEach((g, i) => { group[i] = g; }); show(); };
for (const name of Object.keys(data.presets)) start.append(new Option(name, name));
start.addEventListener("input", () => begin(data.presets[start.value]));
find(".empty").addEventListener("click", () => begin(group.map(() => 0)));
begin(data.presets[start.value]);
"""
