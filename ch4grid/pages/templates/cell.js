// The panel of a chosen cell: where it is, its month, its series, its classes and flags, as text, drawing and table.
class CellPanel {
  // `atlas`: what the page knows of its data; `flags`: words of quality flags by value; `load`: gives packets by name.
  constructor(panel, atlas, flags, load) {
    Object.assign(this, { panel, atlas, flags, load, series: null });
    panel.querySelector(".csv").addEventListener("click", (event) => copied(event.target, this.csv()));
    let width = 0;
    new ResizeObserver(() => {
      if (this.series && Math.abs(panel.clientWidth - width) > 1) this.drawSeries();
      width = panel.clientWidth;
    }).observe(panel);
  }

  part(name) {
    return this.panel.querySelector(`.${name}`);
  }

  // Load and show a cell; returns false where it has no series, as in the sea.
  async show(cell, centre, month) {
    const { columns, block, years, blocks, step } = this.atlas;
    const [row, column] = [Math.floor(cell / columns), cell % columns];
    const name = `${Math.floor(row / block)}-${Math.floor(column / block)}`;
    this.asked = cell;
    this.place = placed(...centre, step);
    this.centre = centre;
    const packets = blocks.includes(name) ? await Promise.all(years.map((y) => this.load(`cells/${y}/${name}`))) : [];
    if (this.asked !== cell) return true;
    const index = (row % block) * block + (column % block);
    const found = packets.map((packet) => [packet, packet.cell.indexOf(index)]);
    this.series = found.length && found.every(([, i]) => i >= 0) ? this.joined(found) : null;
    this.panel.hidden = this.series === null;
    if (this.series === null) return false;
    this.part("where").textContent = this.place;
    this.drawClasses(found.at(-1));
    this.drawTable();
    this.drawSeries();
    this.turn(month);
    return true;
  }

  // One series of all years out of the packets of single years.
  joined(found) {
    const months = (name) =>
      found.flatMap(([packet, i]) =>
        packet[name] ? [...packet[name].subarray(12 * i, 12 * i + 12)] : new Array(12).fill(NaN),
      );
    const series = { first: this.atlas.years[0], flux: months("flux"), error: months("error") };
    Object.assign(series, { lower: months("lower"), upper: months("upper"), flag: months("flag") });
    series.flagged = series.flag.map((flag) => flag !== 0);
    return series;
  }

  drawSeries() {
    const units = this.atlas.quantities[0].units;
    const { svg, mark } = drawSeries(this.series, units, Math.max(300, this.part("drawing").clientWidth));
    svg.setAttribute("aria-label", `Monthly flux at ${this.place}; the table below has the numbers.`);
    this.part("drawing").replaceChildren(svg);
    this.mark = mark;
    if (this.month !== undefined) mark(this.month);
  }

  drawClasses([packet, i]) {
    const names = this.atlas.ecosystems;
    const count = packet.cell.length;
    const rows = names
      .map((name, e) => [name, packet.fraction[e + i * names.length]])
      .filter(([, share]) => share > 0)
      .sort((a, b) => b[1] - a[1])
      .map(([name, share]) => {
        const item = document.createElement("li");
        item.style.setProperty("--share", `${100 * share}%`);
        item.textContent = `${name} ${figure(100 * share)}\u00a0%`;
        return item;
      });
    this.part("classes").replaceChildren(...rows);
    this.part("classes").hidden = !rows.length || !count;
  }

  drawTable() {
    const rows = this.series.flux.map((flux, i) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = monthName(this.atlas, i);
      const cells = [flux, this.series.error[i], this.series.lower[i], this.series.upper[i]].map(figure);
      row.append(head, ...[...cells, this.flags[this.series.flag[i]]].map((text) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        return cell;
      }));
      return row;
    });
    this.part("rows").replaceChildren(...rows);
  }

  turn(month) {
    this.month = month;
    if (!this.series) return;
    this.mark(month);
    this.part("now").textContent = this.inWords(month);
  }

  inWords(month) {
    const { flux, error, lower, upper, flag } = this.series;
    const units = this.atlas.quantities[0].units;
    let text = `${monthName(this.atlas, month)}: `;
    if (!Number.isFinite(flux[month])) text += "no estimate";
    else {
      text += `${figure(flux[month])} ${units}`;
      if (Number.isFinite(lower[month])) text += `, 90\u00a0% interval ${figure(lower[month])} to ${figure(upper[month])}`;
      if (Number.isFinite(error[month])) text += `, standard error ${figure(error[month])}`;
    }
    return `${text}. Quality: ${this.flags[flag[month]]}.`;
  }

  csv() {
    const [latitude, longitude] = this.centre;
    const number = (value) => (Number.isFinite(value) ? Number(value.toPrecision(4)) : "");
    const rows = this.series.flux.map((flux, i) => {
      const { error, lower, upper, flag } = this.series;
      const month = `${this.atlas.years[Math.floor(i / 12)]}-${String((i % 12) + 1).padStart(2, "0")}`;
      return [month, latitude, longitude, ...[flux, error[i], lower[i], upper[i]].map(number), flag[i]].join();
    });
    return ["month,latitude,longitude,flux,standard_error,lower,upper,quality_flag", ...rows, ""].join("\n");
  }
}

const MONTHS = "January February March April May June July August September October November December".split(" ");

function monthName(atlas, index) {
  return `${MONTHS[index % 12]} ${atlas.years[Math.floor(index / 12)]}`;
}
