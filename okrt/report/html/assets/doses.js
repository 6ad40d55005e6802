"use strict";
// What a tool cap does: dose and response of each cell, and the gaps between cells, by cap.
Object.assign(okrt.charts, (() => {
  const { element, colour, symbol, dash, whole, share, score, figure } = okrt;
  const { plot, base, figureOf, legend, line, counted } = okrt.charts.parts_of;
  const APART = 7; // pixels between the points of two cells under one cap
  const TIP = { fill: "var(--bg)", stroke: "var(--muted)" };
  const kilo = (d) => d3.format("~s")(d);
  const signed = (value) => (value > 0 ? "+" : "") + score(value);
  const PANELS = [
    ["score", "score", score, {}],
    ["tokens", "total tokens per episode", whole, { zero: true, tickFormat: kilo }],
    ["missing", "episodes that miss a variable", share, { domain: [0, 1], tickFormat: ".0%" }],
    ["exposure", "blocks beyond the cap", share, { domain: [0, 1], tickFormat: ".0%" }],
  ];

  // As wide as leaves room for two beside one another, where that is wide enough to be read.
  const panel = (place) => {
    const wide = place.clientWidth || 640;
    return Math.min(wide < 640 ? wide : (wide - 24) / 2, 540);
  };

  const across = (caps) => ({
    type: "log", label: "tool calls a block may make (log scale)", labelAnchor: "center", labelArrow: "none",
    domain: [caps[0] / 1.15, caps.at(-1) * 1.15], ticks: caps, tickFormat: (d) => String(d), grid: true,
  });

  // A line for each series with its points, their intervals, and its name where it ends.
  function marks(series, show) {
    const dx = (at) => APART * (at - (series.length - 1) / 2);
    const all = series.flatMap((one) => one.points);
    const ends = d3.extent(all.flatMap((d) => [d.value, d.low ?? d.value, d.high ?? d.value]));
    const last = [];
    for (const { name, points } of series) {
      const end = points.at(-1);
      const same = last.find((one) => one.cap === end.cap && Math.abs(one.value - end.value) <= (ends[1] - ends[0]) * 0.06);
      if (same) same.names.push(name);
      else last.push({ ...end, names: [name] });
    }
    const called = ({ names }) => names.slice(0, 4).join(", ") + (names.length > 4 ? ", …" : "");
    return [
      ...series.flatMap(({ points, at, place }) => {
        const bars = points.filter((d) => d.low != null || d.high != null);
        return [
          Plot.line(points, { x: "cap", y: "value", dx: dx(place), stroke: colour(at), strokeWidth: 2, strokeDasharray: dash(at) }),
          Plot.ruleX(bars, { x: "cap", y1: (d) => d.low ?? d.value, y2: (d) => d.high ?? d.value, dx: dx(place), stroke: colour(at), strokeWidth: 2 }),
          Plot.dot(points, { x: "cap", y: "value", dx: dx(place), symbol: symbol(at), r: 3.5, stroke: colour(at), fill: "var(--bg)", strokeWidth: 2 }),
          Plot.text(points.filter((d) => d.at_least), { x: "cap", y: "value", dx: dx(place), dy: -12, text: () => "≥", fill: "var(--fg)" }),
        ];
      }),
      Plot.text(last, { x: "cap", y: "value", text: called, dx: dx(series.length - 1) + 9, textAnchor: "start", fontWeight: 700, fill: "var(--fg)", stroke: "var(--bg)", strokeWidth: 4 }),
      Plot.tip(all, Plot.pointer({ x: "cap", y: "value", title: (d) => `${d.called}, cap ${d.cap}\n${figure(d, show)}`, ...TIP })),
    ];
  }

  function doses(sweep, number, place) {
    const charts = PANELS.flatMap(([key, label, show, y]) => {
      const series = sweep.cells.map((cell, at) => ({
        name: cell.letter, at,
        points: sweep.doses.filter((d) => d.cell === at && d[key]).map((d) => ({ ...d[key], cap: d.cap, called: cell.letter })),
      })).filter((one) => one.points.length).map((one, order) => ({ ...one, place: order }));
      if (!series.length) return [];
      return [plot({
        ...base(`${label} by tool cap, a line for each cell; the table below holds the figures`),
        width: panel(place), height: 270, marginLeft: 52, marginRight: 76, marginBottom: 42, marginTop: 28,
        x: across(sweep.caps), y: { label, labelArrow: "none", grid: true, nice: true, ...y },
        marks: marks(series, show),
      })];
    });
    if (!charts.length) return null;
    return figureOf("Dose and response: what the tool cap does",
      `A letter, a symbol and a line for each cell; bars are 95% intervals over tasks; points of one cap stand side by side. ≥: limits ended many of the episodes.${counted(sweep)}`,
      element("div", { class: "multiples" }, charts), legend(sweep, line));
  }

  function gaps(sweep, number, place) {
    const named = new Map();
    for (const { name, whom, cap, estimate } of sweep.gaps) {
      const key = `${name}\n${whom}`;
      if (!named.has(key)) named.set(key, { name, whom, points: [] });
      if (estimate) named.get(key).points.push({ ...estimate, cap, called: whom ? `${name}, ${whom}` : name });
    }
    const series = [...named.values()].filter((one) => one.points.length).map((one, at) => ({ ...one, at, place: at }));
    if (!series.length) return null;
    const chart = plot({
      ...base("Gaps of the score by tool cap, a line for each; the table above holds the figures"),
      width: Math.max(280, Math.min(place.clientWidth || 640, 720)), height: 320, marginLeft: 52, marginRight: 96, marginBottom: 42, marginTop: 28,
      x: across(sweep.caps), y: { label: "difference of scores", labelArrow: "none", grid: true, nice: true, tickFormat: "+" },
      marks: [Plot.ruleY([0], { stroke: "var(--fg)" }), ...marks(series, signed)],
    });
    const key = element("ul", { class: "legend" }, series.map(({ name, whom, at }) => {
      const drawn = line(at);
      drawn.setAttribute("aria-hidden", "true");
      return element("li", {}, drawn, element("strong", {}, name), element("span", {}, whom));
    }));
    return figureOf("Gaps by tool cap",
      "G_P, G_S: what a model loses away from the runtime that it was trained for; D = G_P + G_S; M: what the wrong training loses in stateless. Above 0 (below, of M) a misfit costs score.",
      chart, key);
  }

  return { doses, gaps };
})());
