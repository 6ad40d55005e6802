"use strict";
// What all parts of the page share: its data, elements that hold text alone, figures in words.
window.okrt = (() => {
  const data = JSON.parse(document.getElementById("okrt-data").textContent);

  // An element; children that are strings become text, never HTML.
  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(key, "");
      else if (value !== false && value != null) made.setAttribute(key, value);
    }
    made.append(...children.flat().filter((child) => child != null));
    return made;
  }

  const colour = (place) => `var(--c${place % 8})`;
  const SYMBOLS = ["circle", "square", "triangle", "diamond", "cross", "star", "wye", "times"];
  const symbol = (place) => SYMBOLS[place % SYMBOLS.length];
  const DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4", "4 2", "1 4", "6 2 2 2"];
  const dash = (place) => DASHES[place % DASHES.length];

  const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
  const whole = (value) => Math.round(value).toLocaleString("en-US");
  const share = (value) => `${(100 * value).toFixed(1)}%`;
  const score = (value) => value.toFixed(3);

  // "0.914 [0.880, 0.940]"; a lower bound has ≥, what has no interval says so.
  function figure(estimate, show) {
    if (!estimate) return "not measured";
    const { value, low, high, at_least: atLeast } = estimate;
    const known = low == null && high == null;
    const ends = known ? "[no interval]" : `[${low == null ? "…" : show(low)}, ${high == null ? "…" : show(high)}]`;
    return `${atLeast ? "≥ " : ""}${show(value)} ${ends}`;
  }

  // `label` is what no other table of the page is called.
  function table(caption, heads, rows, label = caption) {
    return element("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": label },
      element("table", {},
        element("caption", {}, caption),
        element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col" }, head)))),
        element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell) => element("td", {}, String(cell))))))));
  }

  // Runs `draw` when the browser has time: a run of many tables is there at once, its charts soon.
  const waiting = [];
  function later(draw) {
    if (waiting.push(draw) === 1) setTimeout(next);
  }
  function next() {
    waiting.shift()?.();
    if (waiting.length) setTimeout(next);
  }
  window.addEventListener("beforeprint", () => {
    while (waiting.length) waiting.shift()();
  });

  return { data, element, colour, symbol, dash, cut, whole, share, score, figure, table, later };
})();
