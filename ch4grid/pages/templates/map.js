// The map: one pixel of a canvas per cell, a cursor moved by keys or pointer, zoom by a larger sheet in a scrolling window.
class FluxMap {
  // `grid`: rows, columns, south, west, step. `told`: functions `pointed(cell)`, `chosen(cell)` and `turned(months)`.
  constructor(frame, grid, told) {
    Object.assign(this, { frame, grid, told, zoom: 1, cell: null });
    this.sheet = frame.querySelector(".sheet");
    this.canvas = frame.querySelector("canvas");
    this.canvas.width = grid.columns;
    this.canvas.height = grid.rows;
    this.frame.style.aspectRatio = `${grid.columns} / ${grid.rows}`;
    this.values = new Float32Array(grid.rows * grid.columns).fill(NaN);
    this.drawGraticule();
    this.sheet.addEventListener("pointermove", (event) => told.pointed(this.under(event)));
    this.sheet.addEventListener("pointerleave", () => told.pointed(this.cell));
    this.sheet.addEventListener("click", (event) => this.choose(this.nearest(this.under(event))));
    frame.addEventListener("keydown", (event) => this.press(event));
  }

  centre(cell) {
    const { columns, south, west, step } = this.grid;
    return [south + (Math.floor(cell / columns) + 0.5) * step, west + ((cell % columns) + 0.5) * step];
  }

  // The cell at a latitude and longitude; null where the map has none.
  at(latitude, longitude) {
    const { rows, columns, south, west, step } = this.grid;
    const row = Math.floor((latitude - south) / step);
    const column = Math.floor((((longitude - west) % 360) + 360) % 360 / step);
    return row >= 0 && row < rows ? row * columns + Math.min(column, columns - 1) : null;
  }

  under(event) {
    const box = this.canvas.getBoundingClientRect();
    const { rows, columns } = this.grid;
    const inside = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
    const column = inside((event.clientX - box.left) / box.width, columns);
    return inside((box.bottom - event.clientY) / box.height, rows) * columns + column;
  }

  // The cell itself, or the nearest one with a value within a few pixels: fingers are wider than cells.
  nearest(cell) {
    const { rows, columns } = this.grid;
    const reach = Math.ceil((6 * columns) / this.canvas.getBoundingClientRect().width) - 1;
    const [row, column] = [Math.floor(cell / columns), cell % columns];
    let best = [Infinity, cell];
    for (let up = -reach; up <= reach; up += 1) {
      for (let right = -reach; right <= reach; right += 1) {
        const near = (row + up) * columns + ((column + right + columns) % columns);
        const inside = row + up >= 0 && row + up < rows && Number.isFinite(this.values[near]);
        if (inside && up * up + right * right < best[0]) best = [up * up + right * right, near];
      }
    }
    return best[1];
  }

  draw(values, scale) {
    this.values = values;
    const { rows, columns } = this.grid;
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    for (let cell = 0; cell < values.length; cell += 1) {
      if (Number.isNaN(values[cell])) continue;
      const pixel = 4 * ((rows - 1 - Math.floor(cell / columns)) * columns + (cell % columns));
      const colour = scale.colour(values[cell]);
      image.data[pixel] = colour[0];
      image.data[pixel + 1] = colour[1];
      image.data[pixel + 2] = colour[2];
      image.data[pixel + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  drawGraticule() {
    const { rows, columns, south, west, step } = this.grid;
    const [height, width] = [rows * step, columns * step];
    const lines = [];
    const label = (text, left, top) => {
      const span = document.createElement("span");
      span.textContent = text;
      span.style.cssText = `left: ${left}%; top: ${top}%`;
      this.sheet.querySelector(".labels").append(span);
    };
    for (let latitude = -60; latitude < 90; latitude += 30) {
      const y = south + height - latitude;
      lines.push(`M0 ${y}H${width}`);
      if (latitude > -60) label(`${Math.abs(latitude)}\u00b0${latitude ? (latitude > 0 ? "N" : "S") : ""}`, 0.4, (100 * y) / height);
    }
    for (let longitude = -120; longitude < 180; longitude += 60) lines.push(`M${longitude - west} 0V${height}`);
    const svg = this.sheet.querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.querySelector("path").setAttribute("d", lines.join(""));
  }

  // Put a mark over a cell, at least so large that it is seen.
  mark(element, cell) {
    const { rows, columns } = this.grid;
    element.hidden = cell === null;
    if (cell === null) return;
    element.style.left = `${(100 * ((cell % columns) + 0.5)) / columns}%`;
    element.style.top = `${100 - (100 * (Math.floor(cell / columns) + 0.5)) / rows}%`;
    element.style.width = `max(11px, ${100 / columns}%)`;
  }

  move(cell) {
    this.cell = cell;
    this.mark(this.sheet.querySelector(".cursor"), cell);
    this.reveal(cell);
    this.told.pointed(cell, true);
  }

  choose(cell) {
    this.cell = cell;
    this.mark(this.sheet.querySelector(".cursor"), cell);
    this.mark(this.sheet.querySelector(".chosen"), cell);
    this.told.chosen(cell);
  }

  // Scroll the window so that a cell is in it, towards its middle where the sheet allows.
  reveal(cell) {
    if (this.zoom === 1 || cell === null) return;
    const { rows, columns } = this.grid;
    const { clientWidth, clientHeight } = this.frame;
    this.frame.scrollLeft = ((cell % columns) / columns) * this.sheet.clientWidth - clientWidth / 2;
    this.frame.scrollTop = (1 - Math.floor(cell / columns) / rows) * this.sheet.clientHeight - clientHeight / 2;
  }

  magnify(factor) {
    const middle = this.cell ?? this.under(this.middle());
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), 16);
    this.sheet.style.width = this.sheet.style.height = `${100 * this.zoom}%`;
    this.reveal(middle);
    return this.zoom;
  }

  middle() {
    const box = this.frame.getBoundingClientRect();
    return { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey ? 10 : 1;
    const steps = { ArrowUp: [far, 0], ArrowDown: [-far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far] };
    const { rows, columns } = this.grid;
    const cell = this.cell ?? this.at(0, 0);
    if (event.key in steps) {
      const [up, right] = steps[event.key];
      const row = Math.min(Math.max(Math.floor(cell / columns) + up, 0), rows - 1);
      this.move(row * columns + (((cell % columns) + right + columns) % columns));
    } else if (event.key === "Enter" || event.key === " ") this.choose(cell);
    else if (event.key === "PageUp" || event.key === "PageDown") this.told.turned(event.key === "PageUp" ? 1 : -1);
    else if (event.key === "+" || event.key === "-") this.told.magnified(event.key === "+" ? 2 : 0.5);
    else return;
    event.preventDefault();
  }
}
