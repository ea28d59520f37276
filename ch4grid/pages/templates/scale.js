// Colour scales and numbers as text, the same as in ch4grid/pages/colour.py and figures.py.
class Scale {
  // `told`: low, high and linear in display units, units, ticks [place, text], palette as hexadecimal RGB.
  constructor(told) {
    Object.assign(this, told);
    this.ends = [Math.asinh(this.low / this.linear), Math.asinh(this.high / this.linear)];
    const bytes = told.palette.match(/../g).map((pair) => parseInt(pair, 16));
    this.colours = Array.from({ length: bytes.length / 3 }, (_, i) => bytes.slice(3 * i, 3 * i + 3));
  }

  // The colour of a value as [red, green, blue]; values beyond the ends have the colours of the ends.
  colour(value) {
    const place = (Math.asinh(value / this.linear) - this.ends[0]) / (this.ends[1] - this.ends[0]);
    const index = Math.floor(Math.min(Math.max(place, 0), 1) * this.colours.length);
    return this.colours[Math.min(index, this.colours.length - 1)];
  }

  // A symmetric scale for differences, whose ends hold 99 in 100 of the sizes.
  static symmetric(told, sizes, units) {
    const sorted = sizes.filter(Number.isFinite).sort((a, b) => a - b);
    const high = Scale.rounded(sorted.length ? sorted[Math.floor(0.99 * (sorted.length - 1))] : 1);
    const ticks = told.ticks.map(([place, text]) => [place, tick(high * Number(text.replace("\u2212", "-")))]);
    return new Scale({ ...told, low: -high, high, linear: high * told.linear, units, ticks });
  }

  // The next of 1, 2, 5 times a power of ten at or above a positive value; 1 for anything else.
  static rounded(value) {
    if (!(value > 0)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].find((m) => m * power >= value * (1 - 1e-9)) * power;
  }

  // A value of this scale in words.
  words(value) {
    return `${Number(value.toPrecision(2)).toString().replace("-", "\u2212")} ${this.units}`;
  }

  draw(legend, label) {
    legend.classList.remove("swatches");
    const stops = this.colours.filter((_, i) => i % 10 === 0).map((c) => `rgb(${c.join()})`);
    legend.querySelector(".bar").style.background = `linear-gradient(to right, ${stops.join()})`;
    const ticks = this.ticks.map(([place, text]) => {
      const span = document.createElement("span");
      span.style.left = `${100 * place}%`;
      span.textContent = text;
      return span;
    });
    legend.querySelector(".ticks").replaceChildren(...ticks);
    legend.querySelector(".units").textContent = `${this.units}; grey: sea or no value`;
    const [first, last] = [this.ticks[0][1], this.ticks.at(-1)[1]];
    thinned(legend);
    legend.setAttribute("aria-label", `${label}, colour scale from ${first} to ${last} ${this.units}`);
  }
}

// Numbers that stand for something, each with its own colour; the same interface as a scale.
class Categories {
  // `told`: categories as [number, name, colour as #rrggbb].
  constructor(told) {
    this.named = new Map(told.categories.map(([number, name, colour]) => [number, { name, colour }]));
    const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    this.colours = new Map(told.categories.map(([number, , colour]) => [number, channels(colour)]));
  }

  colour(value) {
    return this.colours.get(value);
  }

  words(value) {
    return this.named.get(value).name;
  }

  draw(legend, label) {
    legend.classList.add("swatches");
    const swatches = [...this.named.values()].map(({ name, colour }) => {
      const span = document.createElement("span");
      span.textContent = name;
      span.style.setProperty("--colour", colour);
      return span;
    });
    legend.querySelector(".ticks").replaceChildren(...swatches);
    legend.querySelector(".units").textContent = "grey: sea or no value";
    legend.setAttribute("aria-label", `${label}: ${swatches.map((each) => each.textContent).join(", ")}`);
  }
}

// Hide the ticks of a legend that would touch another one; the ends and zero stay.
function thinned(legend) {
  if (legend.classList.contains("swatches")) return;
  const ticks = [...legend.querySelectorAll(".ticks span")];
  for (const each of ticks) each.style.visibility = "visible";
  const boxes = new Map(ticks.map((each) => [each, each.getBoundingClientRect()]));
  const first = [ticks[0], ticks.at(-1), ticks.find((each) => each.textContent === "0")];
  const kept = [];
  for (const each of new Set([...first, ...ticks])) {
    if (!each) continue;
    const box = boxes.get(each);
    const free = kept.every((other) => box.left > boxes.get(other).right + 4 || box.right < boxes.get(other).left - 4);
    if (free) kept.push(each);
    else each.style.visibility = "hidden";
  }
}

// Three significant figures, a true minus sign, an en dash for what is missing.
function figure(value) {
  if (!Number.isFinite(value)) return "\u2013";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 1e-4 ? value.toExponential(2) : value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
  return text.replaceAll("-", "\u2212");
}

function tick(value) {
  return String(Number(value.toPrecision(6))).replace("-", "\u2212");
}

// A place as people write it, with the decimals that the cell size needs.
function placed(latitude, longitude, step) {
  const decimals = Number.isInteger(step / 2) ? 0 : Math.min(3, `${step / 2}`.split(".")[1].length);
  const text = (value, positive, negative) =>
    `${Math.abs(value).toFixed(decimals)}\u00b0\u00a0${value >= 0 ? positive : negative}`;
  return `${text(latitude, "N", "S")}, ${text(longitude, "E", "W")}`;
}
