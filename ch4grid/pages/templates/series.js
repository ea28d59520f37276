// The series of a cell as an inline drawing: mean as a line, interval as a band, a tick below each month that has a flag.
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// `series`: flux, lower, upper by month, flagged by month, first year. Returns the drawing and a function that marks a month.
function drawSeries(series, units, width) {
  const [left, right, top, bottom] = [56, 10, 10, 216];
  const count = series.flux.length;
  const finite = [...series.flux, ...series.lower, ...series.upper].filter(Number.isFinite);
  const levels = levelled(Math.min(0, ...finite), Math.max(0, ...finite));
  const [low, high] = [levels[0], levels.at(-1)];
  const x = (i) => left + ((width - left - right) * (i + 0.5)) / count;
  const y = (value) => bottom - ((bottom - top) * (value - low)) / (high - low);
  const svg = element("svg", { viewBox: `0 0 ${width} 252`, class: "chart", role: "img" });
  for (const level of levels) {
    svg.append(
      element("line", { class: level ? "grid" : "zero", x1: left, x2: width - right, y1: y(level), y2: y(level) }),
      element("text", { x: left - 7, y: y(level) + 4, "text-anchor": "end" }, tick(level)),
    );
  }
  const years = count / 12;
  const every = Math.ceil(years / ((width - left - right) / 48));
  for (let year = 0; year < years; year += 1) {
    const place = left + ((width - left - right) * year) / years;
    svg.append(element("line", { class: "grid", x1: place, x2: place, y1: top, y2: bottom }));
    if (year % every) continue;
    const middle = left + ((width - left - right) * (year + 0.5)) / years;
    svg.append(element("text", { x: middle, y: bottom + 32, "text-anchor": "middle" }, series.first + year));
  }
  for (const run of runs(series.lower, series.upper)) {
    const there = run.map((i) => `${x(i)} ${y(series.upper[i])}`);
    const back = run.toReversed().map((i) => `${x(i)} ${y(series.lower[i])}`);
    svg.append(element("path", { class: "band", d: `M${[...there, ...back].join("L")}Z` }));
  }
  for (const run of runs(series.flux, series.flux)) {
    svg.append(element("path", { class: "line", d: `M${run.map((i) => `${x(i)} ${y(series.flux[i])}`).join("L")}` }));
    if (run.length === 1) svg.append(element("circle", { class: "dot", cx: x(run[0]), cy: y(series.flux[run[0]]), r: 2 }));
  }
  series.flagged.forEach((flagged, i) => {
    if (flagged) svg.append(element("line", { class: "flagged", x1: x(i), x2: x(i), y1: bottom + 6, y2: bottom + 14 }));
  });
  svg.append(element("text", { x: -(top + bottom) / 2, y: 12, "text-anchor": "middle", transform: "rotate(-90)" }, units));
  const now = element("line", { class: "now", y1: top, y2: bottom + 16 });
  svg.append(now);
  const mark = (month) => ["x1", "x2"].forEach((end) => now.setAttribute(end, x(month)));
  return { svg, mark };
}

// Stretches of months in which both are known.
function runs(one, other) {
  const found = [];
  for (let i = 0; i < one.length; i += 1) {
    if (!Number.isFinite(one[i]) || !Number.isFinite(other[i])) continue;
    if (found.length && found.at(-1).at(-1) === i - 1) found.at(-1).push(i);
    else found.push([i]);
  }
  return found;
}

// Round levels that span two values.
function levelled(low, high) {
  if (low === high) return [0, 1];
  const step = Scale.rounded((high - low) / 5);
  const levels = [];
  for (let i = Math.floor(low / step + 1e-9); (i - 1) * step < high - 1e-9 * step; i += 1) levels.push(i * step);
  return levels;
}
