"use strict";
// Heat maps on canvases: tables of whole numbers in base64, scales, axes, a cursor and its reading in words.
const VIRIDIS = ["440154", "482475", "414487", "355f8d", "2a788e", "21918c", "22a884", "44bf70", "7ad151", "bddf26", "fde725"]
  .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const ABSENT = [236, 236, 236], INK = "#222", FLAG = "#a8402a";
const element = (id) => document.getElementById(id);

// ---------------------------------------------------------------- tables and colours

function unpack(table) {
  const bytes = Uint8Array.from(atob(table.data), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer), values = new Uint16Array(table.rows * table.columns);
  for (let k = 0; k < values.length; k++) values[k] = view.getUint16(2 * k, true);
  return values;
}

function colour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[low].map((part, k) => Math.round(part + (place - low) * (VIRIDIS[low + 1][k] - part)));
}

const number = (value) => value >= 0.01 && value < 10000 ? String(+value.toPrecision(3)) : value.toExponential(1);

class Scale { // from the numbers of a table to shares of the colours: whole numbers, or powers of ten
  constructor(values, decades, tolerance) {
    let least = 65535, greatest = 0;
    for (const value of values) if (value) { least = Math.min(least, value); greatest = Math.max(greatest, value); }
    Object.assign(this, { decades, least, greatest });
    if (decades) { // three decades below the tolerance are told apart
      this.greatest = Math.max(greatest, this.code(10 * tolerance));
      this.least = Math.max(Math.min(least, this.code(tolerance)), this.code(1e-3 * tolerance));
    }
  }
  code(value) {
    const [low, high] = this.decades;
    return 1 + Math.round((Math.min(Math.max(Math.log10(value), low), high) - low) / (high - low) * 65534);
  }
  value(code) {
    if (!this.decades) return code - 1;
    const [low, high] = this.decades;
    return 10 ** (low + (code - 1) / 65534 * (high - low));
  }
  share(code) { return this.greatest > this.least ? (code - this.least) / (this.greatest - this.least) : 0.5; }
  words(code) { return this.decades ? number(this.value(code)) : String(code - 1); }
}

// ---------------------------------------------------------------- one heat map

class HeatMap {
  constructor(name) {
    this.canvas = element(name);
    this.name = name;
    this.margins = { left: 64, right: 8, top: 34, bottom: 40 };
  }

  // table: rows, columns and data; order: which row stands where; ticks: functions that name rows and columns
  show(table, order, scale, words, tolerance) {
    Object.assign(this, { table, order, scale, words, tolerance, values: unpack(table), cursor: null });
    element(`${this.name}-caption`).textContent = words.title;
    this.explain(scale, words.unit);
    this.draw();
  }

  explain(scale, unit) { // one value has one colour: a bar would tell of others that are not there
    const several = scale.greatest > scale.least, wide = several ? 180 : 1;
    const legend = element(`${this.name}-scale`), paint = legend.getContext("2d"), greatest = scale.words(scale.greatest);
    legend.hidden = !scale.greatest;
    legend.width = wide; legend.height = 1;
    legend.style.width = several ? "" : "12px";
    for (let x = 0; x < wide; x++) {
      paint.fillStyle = `rgb(${colour(several ? x / (wide - 1) : 0.5)})`;
      paint.fillRect(x, 0, 1, 1);
    }
    const low = several ? `${scale.decades ? "at most " : ""}${scale.words(scale.least)}` : "";
    element(`${this.name}-low`).textContent = low;
    const noun = !several && greatest === "1" ? unit.replace(/s$/, "") : unit;
    element(`${this.name}-high`).textContent = scale.greatest ? `${greatest} ${noun}` : "";
  }

  at(row, column) { return this.values[this.order[row] * this.table.columns + column]; }

  draw() {
    const { canvas, table, order, margins } = this, wide = canvas.parentElement.clientWidth || 900;
    if (!table) return;
    const cell = Math.min(Math.max(420 / order.length, 2), 22), dots = window.devicePixelRatio || 1;
    const high = Math.max(Math.round(cell * order.length), 60) + margins.top + margins.bottom;
    canvas.width = Math.round(wide * dots); canvas.height = Math.round(high * dots);
    canvas.style.height = `${high}px`;
    const paint = canvas.getContext("2d");
    paint.scale(dots, dots);
    const { left, right, top, bottom } = margins;
    this.inner = { x: left, y: top, w: wide - left - right, h: high - top - bottom };
    paint.imageSmoothingEnabled = false;
    paint.drawImage(this.cells(), this.inner.x, this.inner.y, this.inner.w, this.inner.h);
    if (this.tolerance) this.drawTolerance(paint);
    this.drawAxes(paint);
    this.drawCursor(paint);
    canvas.dataset.drawn = `${order.length}x${table.columns}`;
  }

  cells() {
    const small = document.createElement("canvas"), { columns } = this.table;
    small.width = columns; small.height = this.order.length;
    const paint = small.getContext("2d"), image = paint.createImageData(columns, this.order.length);
    for (let row = 0; row < this.order.length; row++) {
      for (let column = 0; column < columns; column++) {
        const code = this.at(row, column), [r, g, b] = code ? colour(this.scale.share(code)) : ABSENT;
        image.data.set([r, g, b, 255], 4 * (row * columns + column));
      }
    }
    paint.putImageData(image, 0, 0);
    return small;
  }

  drawTolerance(paint) { // a white line between cells of which one is within the tolerance and the other is not
    const limit = this.scale.code(this.tolerance), { x, y, w, h } = this.inner;
    const rows = this.order.length, { columns } = this.table;
    const differ = (a, b) => a && b && (a <= limit) !== (b <= limit);
    paint.beginPath();
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const here = this.at(row, column), left = x + column / columns * w, top = y + row / rows * h;
        if (column && differ(here, this.at(row, column - 1))) { paint.moveTo(left, top); paint.lineTo(left, top + h / rows); }
        if (row && differ(here, this.at(row - 1, column))) { paint.moveTo(left, top); paint.lineTo(left + w / columns, top); }
      }
    }
    paint.strokeStyle = "#fff"; paint.lineWidth = 1.6; paint.stroke();
  }

  drawAxes(paint) {
    const { x, y, w, h } = this.inner, rows = this.order.length, { columns } = this.table;
    paint.font = "13px system-ui, 'DejaVu Sans', sans-serif";
    paint.fillStyle = INK; paint.strokeStyle = "#888"; paint.lineWidth = 1;
    paint.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1);
    paint.textAlign = "center";
    for (const column of ticks(columns, w / 70)) {
      const centre = x + (column + 0.5) / columns * w;
      paint.fillRect(centre, y + h, 1, 4);
      paint.fillText(this.words.column(column), centre, y + h + 17);
      if (this.words.above) paint.fillText(this.words.above(column), centre, y - 7);
    }
    paint.fillText(this.words.columns, x + w / 2, y + h + 35);
    if (this.words.above) { paint.fillText("noise level:", x + w / 2, y - 22); }
    paint.textAlign = "right";
    for (const row of ticks(rows, h / 18)) this.drawRow(paint, row, x - 8, y + (row + 0.5) / rows * h + 4);
    paint.save();
    paint.translate(13, y + h / 2); paint.rotate(-Math.PI / 2); paint.textAlign = "center";
    paint.fillText(this.words.rows, 0, 0);
    paint.restore();
  }

  drawRow(paint, row, right, middle) {
    const flagged = this.words.flag(row);
    paint.fillStyle = flagged ? FLAG : INK;
    paint.fillText(`${flagged ? "▲ " : ""}${this.words.row(row)}`, right, middle);
    paint.fillStyle = INK;
  }

  drawCursor(paint) {
    if (!this.cursor) return;
    const { x, y, w, h } = this.inner, rows = this.order.length, { columns } = this.table, { row, column } = this.cursor;
    paint.lineWidth = 2;
    for (const [ink, grown] of [["#fff", 0], ["#000", 2]]) {
      paint.strokeStyle = ink;
      paint.strokeRect(x + column / columns * w - grown, y + row / rows * h - grown,
        Math.max(w / columns, 3) + 2 * grown, Math.max(h / rows, 3) + 2 * grown);
    }
  }

  cellUnder(event) {
    const place = this.canvas.getBoundingClientRect(), { x, y, w, h } = this.inner;
    const column = Math.floor((event.clientX - place.left - x) / w * this.table.columns);
    const row = Math.floor((event.clientY - place.top - y) / h * this.order.length);
    const inside = row >= 0 && row < this.order.length && column >= 0 && column < this.table.columns;
    return inside ? { row, column } : null;
  }

  move(cursor) { this.cursor = cursor; this.draw(); }

  reading() {
    const { row, column } = this.cursor, code = this.at(row, column);
    const value = code ? `${this.words.measured} ${this.scale.words(code)}` : this.words.absent;
    return `${this.words.rowFully(row)}, ${this.words.columnFully(column)}: ${value}`;
  }
}

function ticks(count, most) { // round numbers of cells, the first at 0
  const least = count / Math.max(most, 1), power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= least) || 1;
  return Array.from({ length: Math.ceil(count / step) }, (_, k) => k * step);
}
