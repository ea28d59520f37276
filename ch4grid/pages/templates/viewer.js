// The viewer: what is shown, compared with what, in which month; it joins controls, map and the panel of a cell.
class Viewer {
  constructor(atlas, flags) {
    const part = (id) => document.getElementById(id);
    const load = ch4grid.loader(atlas.folder, 8);
    const series = ch4grid.loader(atlas.folder, 100);
    const grid = (({ rows, columns, south, west, step }) => ({ rows, columns, south, west, step }))(atlas);
    Object.assign(this, { atlas, part, load, request: 0 });
    this.panel = new CellPanel(part("cell"), atlas, flags, series);
    this.map = new FluxMap(part("map"), grid, {
      pointed: (cell, aloud) => this.read(cell, aloud),
      chosen: (cell) => this.choose(cell),
      turned: (months) => this.turn(months),
      magnified: (factor) => this.magnify(factor),
    });
    this.connect();
    this.show();
  }

  connect() {
    const { part } = this;
    for (const id of ["quantity", "compare", "year", "other"]) part(id).addEventListener("change", () => this.show());
    part("month").addEventListener("input", () => this.show());
    part("play").addEventListener("click", () => this.play());
    part("closer").addEventListener("click", () => this.magnify(2));
    part("farther").addEventListener("click", () => this.magnify(0.5));
    part("place").addEventListener("submit", (event) => {
      event.preventDefault();
      this.find(Number(part("latitude").value), Number(part("longitude").value));
    });
  }

  get month() {
    return Number(this.part("month").value);
  }

  get quantity() {
    return this.atlas.quantities[this.part("quantity").selectedIndex];
  }

  // The values (cell) and packet of a month of a quantity.
  async monthly(key, year, month) {
    const packet = await this.load(`maps/${key}-${year}`);
    const values = new Float32Array(this.atlas.rows * this.atlas.columns).fill(NaN);
    const { cell, value } = packet;
    for (let i = 0; i < cell.length; i += 1) values[cell[i]] = value[12 * i + month];
    return values;
  }

  // Year ("mean" for the mean seasonal cycle) and month compared with, null for nothing.
  reference() {
    const { atlas, part, month } = this;
    if (part("compare").value === "mean") return ["mean", month % 12];
    if (part("compare").value === "year") return [Number(part("year").value), month % 12];
    if (part("compare").value === "month") {
      const other = part("other").selectedIndex;
      return [atlas.years[Math.floor(other / 12)], other % 12];
    }
    return null;
  }

  async show() {
    const { atlas, part, quantity, month } = this;
    const request = (this.request += 1);
    const mean = part("compare").querySelector("[value=mean]");
    mean.disabled = quantity.key !== "flux";
    part("compare-of").hidden = Boolean(quantity.categories);
    if ((mean.selected && mean.disabled) || quantity.categories) part("compare").value = "";
    part("year-of").hidden = part("compare").value !== "year";
    part("other-of").hidden = part("compare").value !== "month";
    part("name").textContent = monthName(atlas, month);
    part("month").setAttribute("aria-valuetext", monthName(atlas, month));
    this.panel.turn(month);
    part("map").setAttribute("aria-busy", "true");
    try {
      const reference = this.reference();
      const values = await this.monthly(quantity.key, atlas.years[Math.floor(month / 12)], month % 12);
      const other = reference && (await this.monthly(quantity.key, ...reference));
      if (request !== this.request) return;
      if (other) values.forEach((value, i) => { values[i] = value - other[i]; });
      const label = other ? `${quantity.label}, difference` : quantity.label;
      const plain = () => (quantity.categories ? new Categories(quantity) : new Scale(quantity));
      const scale = other ? this.differences(values, quantity) : plain();
      this.shown = { label, scale };
      this.map.draw(values, scale);
      scale.draw(part("legend"), label);
      this.caption(other ? reference : null);
      part("problem").textContent = "";
      this.read(this.map.cell);
    } catch (error) {
      if (request === this.request) part("problem").textContent = error.message;
    } finally {
      if (request === this.request) part("map").setAttribute("aria-busy", "false");
    }
  }

  // One scale as long as the same is compared, so that the months that are played keep their colours.
  differences(values, quantity) {
    const asked = [quantity.key, ...["compare", "year", "other"].map((id) => this.part(id).value)].join();
    if (this.asked !== asked) {
      const sizes = values.filter(Number.isFinite).map(Math.abs);
      this.asked = asked;
      this.scale = Scale.symmetric(this.atlas.difference, sizes, quantity.units);
    }
    return this.scale;
  }

  caption(reference) {
    const { atlas, quantity, month } = this;
    const [year, other] = reference || [];
    const against = year === "mean" ? `the mean ${MONTHS[other]} of all years` : `that of ${MONTHS[other]} ${year}`;
    const text = `${quantity.label}, ${monthName(atlas, month)}`;
    this.part("caption").textContent = reference ? `${text}, less ${against}` : text;
  }

  // Say what the map shows at a cell; aloud for those who move by keys.
  read(cell, aloud = false) {
    if (cell === null || cell === undefined || !this.shown) return;
    const value = this.map.values[cell];
    const text = Number.isFinite(value) ? `${this.shown.label} ${this.shown.scale.words(value)}` : "no value";
    const told = `${placed(...this.map.centre(cell), this.atlas.step)}: ${text}`;
    this.part("reading").textContent = told;
    if (aloud) this.say(told);
  }

  say(text) {
    clearTimeout(this.speech);
    this.speech = setTimeout(() => { this.part("voice").textContent = text; }, 150);
  }

  async choose(cell) {
    this.read(cell);
    const centre = this.map.centre(cell);
    try {
      const found = await this.panel.show(cell, centre, this.month);
      const place = placed(...centre, this.atlas.step);
      const told = found ? `${place}. ${this.panel.inWords(this.month)}` : `${place}: no land in this cell, no series.`;
      this.part("problem").textContent = found ? "" : told;
      this.say(told);
    } catch (error) {
      this.part("problem").textContent = error.message;
    }
  }

  find(latitude, longitude) {
    const cell = this.map.at(latitude, longitude);
    if (cell === null) this.part("problem").textContent = "The map ends at its southern edge; Antarctica is not drawn.";
    else {
      this.map.move(cell);
      this.map.choose(cell);
    }
  }

  turn(months) {
    const count = 12 * this.atlas.years.length;
    this.part("month").value = (this.month + months + count) % count;
    this.say(monthName(this.atlas, this.month));
    return this.show();
  }

  magnify(factor) {
    const zoom = this.map.magnify(factor);
    this.part("closer").disabled = zoom === 16;
    this.part("farther").disabled = zoom === 1;
    this.say(`zoom ${zoom}`);
  }

  // Months one after the other; each waits until it is drawn. Slower for those who want less motion.
  async play() {
    const { part } = this;
    this.playing = !this.playing;
    part("play").textContent = this.playing ? "Pause" : "Play";
    const pause = matchMedia("(prefers-reduced-motion: reduce)").matches ? 2000 : 600;
    while (this.playing) {
      const count = 12 * this.atlas.years.length;
      part("month").value = (this.month + 1) % count;
      await this.show();
      await new Promise((resolve) => { setTimeout(resolve, pause); });
    }
  }
}

addEventListener("resize", () => document.querySelectorAll(".legend").forEach(thinned));
document.querySelectorAll(".legend:not(#legend)").forEach(thinned);
ch4grid.viewer = new Viewer(
  JSON.parse(document.getElementById("atlas").textContent),
  JSON.parse(document.getElementById("flags").textContent),
);
