"use strict";
// The charts, by Observable Plot. Cells are told apart by letter and symbol as well as by colour.
okrt.charts = (() => {
  const { data, element, colour, symbol, dash, cut, whole, share, score, figure, table } = okrt;
  const MOST_POINTS = 5000;
  const TOKENS = "total tokens per episode";

  const many = (count, what) => `${whole(count)} ${what}${count === 1 ? "" : "s"}`;
  const name = (cell) => `${cell.label} → ${cell.runtime}`;
  const tag = (cell) => `${cell.letter}  ${cut(cell.model, 18)} → ${cut(cell.runtime, 12)}`;
  const widthOf = (place) => Math.max(280, Math.min(place.clientWidth || 640, 720));
  const style = { background: "transparent", fontSize: "13px", fontFamily: "inherit", overflow: "visible" };
  const base = (label) => ({ className: "plot", style, ariaLabel: label });

  function plot(options) {
    const made = Plot.plot(options);
    const svg = made.tagName === "svg" ? made : made.querySelector("svg");
    svg.setAttribute("role", "img"); // one picture with one text; its parts are named in the table
    for (const part of svg.querySelectorAll("[aria-label], [aria-description]")) {
      part.removeAttribute("aria-label");
      part.removeAttribute("aria-description");
    }
    return made;
  }

  function figureOf(heading, told, chart, ...behind) {
    return element("figure", {},
      element("figcaption", {}, element("strong", {}, heading), element("span", {}, told)),
      chart, ...behind);
  }

  const counted = (section) => (section.mixed
    ? " Counted by several tokenizers: tokens do not compare between models here." : "");
  const hidden = ({ title }, caption, heads, rows) =>
    element("details", {}, element("summary", {}, "As a table"), table(caption, heads, rows, `${caption}: ${title}`));

  // -- the matrix: which cell costs most, which one breaks ------------------------------------

  function bar(estimate, most, fill, label) {
    const { value, low, high } = estimate;
    const whiskers = low != null && high != null ? [estimate] : [];
    const made = plot({
      ...base(label), width: 240, height: 18, axis: null, margin: 0, marginRight: 4, marginLeft: 2,
      x: { domain: [0, most] },
      marks: [
        Plot.ruleX([0], { stroke: "var(--muted)" }),
        Plot.barX([value], { x1: 0, x2: (d) => d, fill, stroke: "var(--fg)", insetTop: 3, insetBottom: 3 }),
        Plot.ruleY(whiskers, { y: null, x1: "low", x2: "high", stroke: "var(--bg)", strokeWidth: 5 }),
        Plot.ruleY(whiskers, { y: null, x1: "low", x2: "high", stroke: "var(--fg)", strokeWidth: 2 }),
        Plot.tickX(whiskers.flatMap((d) => [d.low, d.high]), { x: (d) => d, stroke: "var(--fg)", strokeWidth: 2, insetTop: 4, insetBottom: 4 }),
      ],
    });
    made.setAttribute("preserveAspectRatio", "none"); // as wide as the cell is, lines as thick as here
    return made;
  }

  function measure(label, estimate, most, fill, show) {
    const text = figure(estimate, show);
    return element("div", { class: "measure" },
      element("span", {}, label),
      estimate && most > 0 ? bar(estimate, most, fill, `${label}: ${text}`) : element("span", {}, "–"),
      element("span", { class: "value" }, text));
  }

  function card(cell, place, tokens) {
    const classes = ["cell", cell.most && "most", cell.breaks && "breaks"].filter(Boolean).join(" ");
    const badges = element("p", { class: "badges" },
      cell.most ? element("span", { class: "badge most" }, "▲ most tokens") : null,
      cell.breaks ? element("span", { class: "badge breaks" }, "✕ loses variables") : null);
    const failed = cell.failures ? `, ${cell.failures} broken off by infrastructure` : "";
    const letter = element("span", { class: "letter" }, cell.letter);
    letter.style.setProperty("--cell", colour(place));
    return element("div", { class: classes },
      element("h4", {}, letter, element("span", {}, name(cell))),
      badges,
      measure("Score", cell.score, 1, "var(--muted)", score),
      measure("Total tokens", cell.tokens, tokens, "url(#p-made)", whole),
      measure("Episodes that lose a variable", cell.lost, 1, "url(#p-lost)", share),
      element("p", { class: "muted" }, `${many(cell.n, "episode")} of ${many(cell.tasks, "task")}${failed}`));
  }

  function matrix(section) {
    const tokens = Math.max(0, ...section.cells.map((cell) => Math.max(cell.tokens?.high ?? 0, cell.tokens?.value ?? 0)));
    const grid = element("div", { class: "matrix" });
    grid.style.setProperty("--runtimes", Math.min(section.runtimes.length, 6));
    for (const [row, model] of section.models.entries()) {
      for (const [column, runtime] of section.runtimes.entries()) {
        const place = section.cells.findIndex((cell) => cell.row === row && cell.column === column);
        grid.append(place < 0
          ? element("div", { class: "cell empty" }, `${model} → ${runtime}: not run`)
          : card(section.cells[place], place, tokens));
      }
    }
    const scale = tokens ? `tokens from 0 to ${whole(tokens)}` : "tokens were not measured";
    return figureOf(
      section.trained ? "Trained under (down) × runtime (across)" : "Model (down) × runtime (across)",
      `Bars have one scale in all cells: scores from 0 to 1, ${scale}, shares from 0 to 100%; whiskers are ` +
        "95% intervals over tasks. ▲ and a thick frame: most tokens on average. ✕ and a hatched cell: " +
        "the interval of episodes that lose a variable lies above 5%." + counted(section),
      grid);
  }

  // -- quality against tokens -----------------------------------------------------------------

  function points(number) {
    const { episodes } = data;
    const found = [];
    for (let at = 0; at < episodes.id.length; at++) {
      if (episodes.section[at] === number && episodes.score[at] != null && episodes.tokens[at] > 0) {
        found.push({ at, letter: episodes.letter[at], tokens: episodes.tokens[at], score: episodes.score[at] });
      }
    }
    const step = Math.ceil(found.length / MOST_POINTS);
    const seen = {}; // by cell: cells take turns in the list, and every second would be one cell's
    const kept = ({ letter }) => (seen[letter] = (seen[letter] ?? -1) + 1) % step === 0;
    return { shown: found.filter(kept), all: found.length };
  }

  // Where the letters stand: upon their cell, or in a row below (above) those that lie together.
  function apart(means, wide, high) {
    const near = (a, b) => Math.abs(Math.log(a.tokens.value / b.tokens.value)) / wide < 0.05 && Math.abs(a.score.value - b.score.value) / high < 0.07;
    const groups = [];
    for (const cell of means) {
      const group = groups.find((cells) => cells.some((one) => near(one, cell)));
      if (group) group.push(cell);
      else groups.push([cell]);
    }
    return groups.flatMap((cells) => cells.map((cell, at) => cells.length === 1 ? { cell, dx: 0, dy: 0 }
      : { cell, dx: 26 * (at - (cells.length - 1) / 2), dy: 1 - cell.score.value < high / 2 ? 44 : -44 }));
  }

  function quality(section, number, place) {
    const { shown, all } = points(number);
    const means = section.cells.filter((cell) => cell.score && cell.tokens?.value > 0);
    if (!means.length) return null;
    const letters = section.cells.map((cell) => cell.letter);
    const levels = [["floor (blind play)", section.floor], ["reference", section.reference]].filter(([, at]) => at != null);
    const lowest = Math.min(...shown.map((d) => d.score), ...levels.map(([, at]) => at), ...means.map((d) => d.score.low ?? d.score.value));
    const [fewest, greatest] = d3.extent([...shown.map((d) => d.tokens), ...means.flatMap((d) => [d.tokens.value, d.tokens.low ?? d.tokens.value, d.tokens.high ?? d.tokens.value])]);
    const labels = apart(means, Math.log(greatest / fewest) || 1, 1 - lowest || 1);
    const chart = plot({
      ...base("Score against total tokens, a symbol for each episode and a letter for each cell; the table below holds the cells' figures"),
      width: widthOf(place), height: 400, marginLeft: 48, marginRight: 24, marginBottom: 42,
      x: { type: "log", domain: [fewest / 1.12, greatest * 1.12], label: `${TOKENS} (log scale)`, labelAnchor: "center", labelArrow: "none", tickFormat: (d) => d3.format("~s")(d), ticks: 6, grid: true },
      y: { label: "score (0 to 1)", labelArrow: "none", domain: [Math.max(0, lowest - 0.04), 1.01], grid: true },
      symbol: { domain: letters, range: letters.map((_, at) => symbol(at)) },
      color: { domain: letters, range: letters.map((_, at) => colour(at)) },
      marks: [
        Plot.ruleY(levels, { y: (d) => d[1], stroke: "var(--muted)", strokeDasharray: "4 3" }),
        Plot.text(levels, { y: (d) => d[1], text: (d) => d[0], frameAnchor: "right", dy: -7, fill: "var(--muted)" }),
        Plot.dot(shown, { x: "tokens", y: "score", symbol: "letter", stroke: "letter", r: 3.5, strokeOpacity: 0.6, className: "hit" }),
        Plot.ruleX(means.filter((d) => d.score.low != null), { x: (d) => d.tokens.value, y1: (d) => d.score.low, y2: (d) => d.score.high, stroke: "var(--fg)", strokeWidth: 2.5 }),
        Plot.ruleY(means.filter((d) => d.tokens.low != null), { y: (d) => d.score.value, x1: (d) => d.tokens.low, x2: (d) => d.tokens.high, stroke: "var(--fg)", strokeWidth: 2.5 }),
        Plot.dot(means, { x: (d) => d.tokens.value, y: (d) => d.score.value, r: 3, fill: "var(--fg)" }),
        ...labels.flatMap(({ cell, dx, dy }) => [
          Plot.dot([cell], { x: (d) => d.tokens.value, y: (d) => d.score.value, dx, dy, r: 11, fill: "var(--bg)", stroke: "letter", strokeWidth: 3 }),
          Plot.text([cell], { x: (d) => d.tokens.value, y: (d) => d.score.value, dx, dy, text: "letter", fontWeight: 700, fill: "var(--fg)" }),
        ]),
        Plot.tip(shown, Plot.pointer({ x: "tokens", y: "score", title: (d) => `${d.letter}: ${okrt.episode(d.at).task}\nscore ${score(d.score)}, ${whole(d.tokens)} tokens\nclick to read`, fill: "var(--bg)", stroke: "var(--muted)" })),
      ],
    });
    chart.addEventListener("click", () => chart.value && okrt.viewer.open(chart.value.at));
    const told = `${shown.length < all ? `${whole(shown.length)} of ` : ""}${many(all, "episode")}, a symbol each; ` +
      "circles with letters are cells, with 95% intervals both ways." +
      (section.mixed ? counted(section) : " Up and to the left is better.");
    return figureOf("Quality against tokens", told, chart, legend(section, swatch),
      hidden(section, "Cells", ["cell", "score", TOKENS], means.map((d) => [`${d.letter}: ${name(d)}`, figure(d.score, score), figure(d.tokens, whole)])));
  }

  function swatch(place) {
    return plot({ ...base(symbol(place)), width: 14, height: 14, axis: null, margin: 0, marks: [
      Plot.dot([0], { frameAnchor: "middle", symbol: symbol(place), stroke: colour(place), strokeWidth: 2, r: 4.5 })] });
  }

  function line(place) {
    return plot({ ...base("line"), width: 34, height: 14, axis: null, margin: 0, x: { domain: [0, 1] }, marks: [
      Plot.ruleY([0], { x1: 0, x2: 1, stroke: colour(place), strokeWidth: 2.5, strokeDasharray: dash(place) })] });
  }

  function legend(section, draw) {
    return element("ul", { class: "legend" }, section.cells.map((cell, place) => {
      const drawn = draw(place);
      drawn.setAttribute("aria-hidden", "true");
      return element("li", {}, drawn, element("strong", {}, cell.letter), element("span", {}, name(cell)));
    }));
  }

  // -- where the tokens went ------------------------------------------------------------------

  const PARTS = [
    ["read", "read for the first time", "var(--bg)"],
    ["made", "generated", "url(#p-made)"],
    ["again", "state written again (estimate)", "url(#p-again)"],
    ["fed", "history read again", "url(#p-fed)"],
  ];

  function parts(section, number, place) {
    const cells = section.cells.filter((cell) => cell.parts);
    if (!cells.length) return null;
    const bars = cells.flatMap((cell) => PARTS.map(([key, , fill]) => ({ cell: tag(cell), tokens: cell.parts[key], fill })));
    const chart = plot({
      ...base("Mean tokens of an episode by where they went; the table below holds the figures"),
      width: widthOf(place), height: 70 + 34 * cells.length, marginLeft: 8, marginBottom: 42, marginTop: 18,
      x: { label: `mean ${TOKENS}`, labelAnchor: "center", labelArrow: "none", grid: true, ticks: 5, tickFormat: (d) => d3.format("~s")(d) },
      fy: { label: null, domain: cells.map(tag), axis: null, padding: 0.1 },
      marks: [
        Plot.text(cells, { fy: tag, text: tag, frameAnchor: "top-left", dx: 4, dy: -1, fill: "var(--fg)" }),
        Plot.barX(bars, { fy: "cell", x: "tokens", fill: { value: "fill", scale: null }, stroke: "var(--fg)", strokeWidth: 1, insetTop: 15, insetBottom: 2 }),
        Plot.ruleX([0], { stroke: "var(--fg)" }),
      ],
    });
    const key = element("ul", { class: "legend" }, PARTS.map(([, label, fill]) => {
      const drawn = plot({ ...base(label), width: 24, height: 14, axis: null, margin: 1, marks: [
        Plot.frame({ fill, stroke: "var(--fg)" })] });
      drawn.setAttribute("aria-hidden", "true");
      return element("li", {}, drawn, element("span", {}, label));
    }));
    const heads = ["cell", ...PARTS.map(([, label]) => label), "names bound anew per episode", "tool calls repeated per episode"];
    const one = (value) => (value == null ? "not measured" : value.toFixed(1));
    const rows = cells.map((cell) => [`${cell.letter}: ${name(cell)}`, ...PARTS.map(([k]) => whole(cell.parts[k])), one(cell.redefinitions), one(cell.repeated)]);
    return figureOf("Where the tokens went", `Means over tasks. How each part is counted stands at the end of the page.${counted(section)}`,
      chart, key, hidden(section, "Mean tokens of an episode", heads, rows));
  }

  // -- by turn --------------------------------------------------------------------------------

  function turns(section, number, place) {
    const cells = section.cells.map((cell, at) => ({ ...cell, at })).filter((cell) => cell.turns.length);
    if (!cells.length) return null;
    const rows = cells.flatMap((cell) => cell.turns.map((turn) => ({ ...turn, letter: cell.letter, at: cell.at })));
    const highest = d3.max(rows, (d) => d.mean);
    const last = [];
    for (const cell of cells) {
      const end = cell.turns.at(-1);
      const same = last.find((one) => one.turn === end.turn && Math.abs(one.mean - end.mean) < highest * 0.04);
      if (same) same.letters.push(cell.letter);
      else last.push({ ...end, letters: [cell.letter] });
    }
    const ended = ({ letters }) => letters.slice(0, 2).join(", ") + (letters.length > 2 ? ", …" : "");
    const longest = Math.max(2, d3.max(rows, (d) => d.turn));
    const chart = plot({
      ...base("Mean tokens of each turn, a line for each cell; the table below holds the figures"),
      width: widthOf(place), height: 320, marginLeft: 52, marginRight: 44, marginBottom: 42,
      x: { label: "turn", labelAnchor: "center", labelArrow: "none", tickFormat: "d", ticks: d3.ticks(1, longest, 10).filter(Number.isInteger), domain: [1, longest] },
      y: { label: "tokens read and generated in the turn, mean", labelArrow: "none", grid: true, zero: true, tickFormat: (d) => d3.format("~s")(d) },
      marks: [
        Plot.ruleY([0], { stroke: "var(--fg)" }),
        ...cells.flatMap((cell) => [
          Plot.areaY(cell.turns, { x: "turn", y1: "low", y2: "high", fill: colour(cell.at), fillOpacity: 0.12 }),
          Plot.line(cell.turns, { x: "turn", y: "mean", stroke: colour(cell.at), strokeWidth: 2.5, strokeDasharray: dash(cell.at) }),
          Plot.dot(cell.turns, { x: "turn", y: "mean", symbol: symbol(cell.at), stroke: colour(cell.at), fill: "var(--bg)", strokeWidth: 1.5, r: (d) => 2 + 3 * Math.sqrt(d.n / Math.max(1, cell.n)) }),
        ]),
        Plot.text(last, { x: "turn", y: "mean", text: ended, dx: 10, textAnchor: "start", fontWeight: 700, fill: "var(--fg)", stroke: "var(--bg)", strokeWidth: 4 }),
        Plot.tip(rows, Plot.pointer({ x: "turn", y: "mean", title: (d) => `${d.letter}, turn ${d.turn}\nmean ${whole(d.mean)}, quartiles ${whole(d.low)} and ${whole(d.high)}\n${d.n} episodes reached it`, fill: "var(--bg)", stroke: "var(--muted)" })),
      ],
    });
    return figureOf("Tokens by turn", `Of the episodes that reached the turn: the smaller the symbol, the fewer they are. Bands: from the first to the third quartile.${counted(section)}`,
      chart, legend(section, line),
      hidden(section, "Tokens by turn", ["cell", "turn", "mean", "quartiles", "episodes"], rows.map((d) => [d.letter, d.turn, whole(d.mean), `${whole(d.low)}, ${whole(d.high)}`, d.n])));
  }

  const range = (d) => (d.first === d.last ? `${d.first}` : `${d.first}–${d.last}`);

  function errors(section, number, place) {
    const rows = section.cells.flatMap((cell) => cell.errors.map((one) => ({ ...one, cell: tag(cell), letter: cell.letter })));
    const heading = "Errors by kind and turn";
    if (!rows.length) return figureOf(heading, "No turn of any cell ended in an error.", null);
    const totals = d3.rollup(rows, (v) => d3.sum(v, (d) => d.count), (d) => d.kind);
    const kinds = [...totals].sort((a, b) => b[1] - a[1] || d3.ascending(a[0], b[0])).map(([kind]) => kind);
    const cells = section.cells.filter((cell) => cell.errors.length).map(tag);
    const columns = [...new Map(rows.map((d) => [d.first, range(d)])).entries()].sort((a, b) => a[0] - b[0]);
    const all = d3.range(columns[0][0], columns.at(-1)[0] + 1, rows[0].last - rows[0].first + 1);
    const width = widthOf(place);
    const step = 34 + 22 * kinds.length;
    const chart = plot({
      ...base("Errors by kind and turn, a row for each kind; the table below holds the figures"),
      width, height: 60 + cells.length * step, marginLeft: Math.min(160, width / 3), marginBottom: 42, marginTop: 26,
      x: { type: "band", domain: all, label: "turn", labelAnchor: "center", labelArrow: "none", tickFormat: (d) => (all.length <= 12 || (d - all[0]) % (5 * (all[1] - all[0])) === 0 ? String(d) : "") },
      y: { type: "band", domain: kinds, label: null, tickFormat: (d) => cut(d, 22), tickSize: 0 },
      fy: { domain: cells, axis: null, padding: 28 / step },
      r: { domain: [0, 1], range: [0, 10] },
      marks: [
        Plot.frame({ stroke: "var(--line)" }),
        Plot.text(cells, { fy: (d) => d, text: (d) => d, frameAnchor: "top-left", dy: -17, fontWeight: 600, fill: "var(--fg)" }),
        Plot.dot(rows, { x: "first", y: "kind", fy: "cell", r: "share", fill: (d) => (d.kind === "lost variable" ? "url(#p-lost)" : "var(--muted)"), stroke: "var(--fg)", strokeWidth: 1 }),
        Plot.tip(rows, Plot.pointer({ x: "first", y: "kind", fy: "cell", title: (d) => `${d.kind}, turn ${range(d)}\n${d.count} of ${d.of} turns (${share(d.share)})`, fill: "var(--bg)", stroke: "var(--muted)" })),
      ],
    });
    return figureOf(heading, "The area of a circle is the share of the turns taken there that ended so; a full circle is all of them. Lost variables are hatched.",
      chart, hidden(section, heading, ["cell", "kind", "turn", "ended so", "of turns"], rows.map((d) => [d.letter, d.kind, range(d), d.count, d.of])));
  }

  const parts_of = { plot, base, figureOf, legend, line, counted }; // of other charts
  return { matrix, quality, parts, turns, errors, parts_of };
})();
