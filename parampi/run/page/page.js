"use strict";
// What is shown on the page: pictures by channel and place, and heat maps by choice. No library, nothing from outside.
(() => {
  const FLAGS = ["", "bistable", "above"];

  // ---------------------------------------------------------------- which fields are shown

  function choosePictures() {
    const channel = element("channel"), place = element("place");
    if (!channel) return;
    const show = () => {
      for (const one of document.querySelectorAll(".channel")) {
        const places = [...one.querySelectorAll(".place")];
        const at = Math.min(place.value, places.length - 1);
        one.hidden = one.dataset.channel !== channel.value;
        places.forEach((other, number) => { other.hidden = number !== at; });
      }
    };
    element("field-controls").hidden = channel.length < 2 && place.length < 2;
    element("place-label").hidden = place.length < 2;
    channel.addEventListener("change", show);
    place.addEventListener("change", show);
    show();
  }

  // ---------------------------------------------------------------- the page's maps

  function drawResiduals() {
    const source = element("data");
    if (!source) return;
    const data = JSON.parse(source.textContent), all = new HeatMap("heat"), single = new HeatMap("single");
    const view = element("view"), order = element("order"), member = element("member");
    const cost = data.rows.map((_, row) => costOf(data.views.leads || data.views.points, row));
    const badness = (row) => FLAGS.indexOf(data.rows[row].flag);
    const ranking = { number: () => 0, cost: (a, b) => cost[b] - cost[a], flag: (a, b) => badness(b) - badness(a) };
    data.rows.forEach((row, k) => member.add(new Option(row.name + flagWords(row.flag), k)));

    function redraw() {
      const rows = data.rows.map((_, row) => row).sort((a, b) => ranking[order.value](a, b) || a - b);
      const table = data.views[view.value];
      const scale = new Scale(unpack(table), view.value === "rounds" ? data.decades : null, data.tolerance);
      all.show(table, rows, scale, wordsOf(data, view.value, rows, table), null);
    }
    function choose(row) {
      member.value = row;
      const table = data.singles[row], map = element("single-map");
      map.hidden = false;
      if (!table) {
        map.hidden = true;
        element("reading").textContent = `${data.rows[row].name} is not shown alone: its rounds did not fit into the page.`;
        return;
      }
      const rounds = Array.from({ length: table.rows }, (_, k) => k);
      const scale = new Scale(unpack(table), data.decades, data.tolerance);
      single.show(table, rounds, scale, wordsAlone(data, row, table), data.tolerance);
    }
    function tell(map) { element("reading").textContent = map.reading() + (map === all ? rest() : ""); }
    function rest() { const row = data.rows[all.order[all.cursor.row]]; return `. In all ${row.facts}${flagWords(row.flag)}.`; }

    for (const map of [all, single]) {
      map.canvas.addEventListener("pointermove", (event) => {
        const cell = map.cellUnder(event);
        if (cell) { map.move(cell); tell(map); }
      });
    }
    all.canvas.addEventListener("click", (event) => {
      const cell = all.cellUnder(event);
      if (cell) { all.move(cell); choose(all.order[cell.row]); tell(all); }
    });
    all.canvas.addEventListener("keydown", (event) => byKey(event, all, tell, choose));
    view.addEventListener("change", redraw);
    order.addEventListener("change", redraw);
    member.addEventListener("change", () => choose(+member.value));
    window.addEventListener("resize", () => { all.draw(); single.draw(); });
    redraw();
    const worst = data.rows.map((_, row) => row).sort(ranking.flag)[0];
    choose(data.rows[worst].flag ? worst : cost.indexOf(Math.max(...cost)));
  }

  function byKey(event, map, tell, choose) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const move = moves[event.key];
    if (event.key === "Enter" && map.cursor) choose(map.order[map.cursor.row]);
    if (!move) return;
    event.preventDefault();
    const { row, column } = map.cursor || { row: 0, column: 0 }, within = (value, most) => Math.min(Math.max(value, 0), most - 1);
    map.move({ row: within(row + move[0], map.order.length), column: within(column + move[1], map.table.columns) });
    tell(map);
  }

  function costOf(table, row) {
    return unpack(table).subarray(row * table.columns, (row + 1) * table.columns).reduce((sum, code) => sum + code, 0);
  }

  const flagWords = (flag) => ({ above: " (above the tolerance)", bistable: " (between two outcomes)" }[flag] || "");
  const span = (first, each, most) => each === 1 ? `${first}` : `${first} to ${Math.min(first + each - 1, most)}`;

  function wordsOf(data, view, rows, table) {
    const of = {
      leads: { title: "Rounds that each lead time took", unit: "rounds", measured: "rounds", absent: "not finished" },
      points: { title: "Rounds that each point took", unit: "rounds", measured: "rounds", absent: "not swept in this run" },
      accepted: { title: "Points accepted after each round", unit: "points", measured: "points accepted", absent: "had ended" },
      rounds: { title: "Largest relative change in each round", unit: "", measured: "largest change", absent: "had ended" },
    }[view];
    const byPoint = view === "points", base = byPoint ? 0 : 1, noun = byPoint ? "point" : "round";
    if (view === "leads") return { ...of, ...wordsOfRows(data, rows), ...wordsOfLeads(data, table) };
    const first = (column) => column * table.each + base;
    return {
      ...of, ...wordsOfRows(data, rows), columns: noun,
      column: (column) => String(first(column)),
      columnFully: (column) => `${noun} ${span(first(column), table.each, byPoint ? data.steps - 1 : Infinity)}`
        + (byPoint ? ` (noise level ${data.sigmas[first(column)]})` : ""),
      above: byPoint ? (column) => number(data.sigmas[first(column)]) : null,
    };
  }

  function wordsOfRows(data, rows) {
    const of = (row) => data.rows[rows[row]];
    return { rows: data.axis, row: (row) => of(row).short, rowFully: (row) => of(row).name, flag: (row) => of(row).flag };
  }

  function wordsOfLeads(data, table) { // such as "6 hours"
    const last = (column) => data.leads[Math.min((column + 1) * table.each, data.leads.length) - 1];
    const first = (column) => data.leads[column * table.each], bare = (words) => words.split(" ")[0];
    return {
      columns: `lead time (${data.leads[0].split(" ").slice(1).join(" ")})`, above: null,
      column: (column) => bare(first(column)),
      columnFully: (column) => `lead time ${table.each === 1 ? "" : `${bare(first(column))} to `}${last(column)}`,
    };
  }

  function wordsAlone(data, row, table) {
    const point = (column) => column * table.each, round = (line) => line * table.rounds_each + 1, { name } = data.rows[row];
    return {
      title: `Relative change of ${name}, by round and point (white line: tolerance ${number(data.tolerance)})`,
      unit: "", measured: "relative change", absent: "not in the window", rows: "round", columns: "point",
      row: (line) => String(round(line)), flag: () => "", column: (column) => String(point(column)),
      rowFully: (line) => `${name}, round ${span(round(line), table.rounds_each, Infinity)}`,
      columnFully: (column) => `point ${span(point(column), table.each, data.steps - 1)}`
        + ` (noise level ${data.sigmas[point(column)]})`,
      above: (column) => number(data.sigmas[point(column)]),
    };
  }

  choosePictures();
  drawResiduals();
})();
