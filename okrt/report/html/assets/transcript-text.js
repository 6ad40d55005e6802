// Text that others wrote, as nodes of a page: what a reader could not see is made visible, long text
// is folded. It reaches the page as text nodes alone; no HTML is ever parsed here.
"use strict";

window.okrtText = (() => {
  const FEWEST_HIDDEN = 4; // lines: a button takes the room of two
  const LINES_AT_ONCE = 300, CHARS_AT_ONCE = 50000, LONGEST_LINE = 2000, PIECE = 500;
  const TALL = 40; // lines: more that are unfolded at once scroll within their box

  // -- small parts ------------------------------------------------------------------------------

  // An element. Attributes of null, undefined and false are left out; so are children of null.
  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === true) node.setAttribute(name, "");
      else if (value !== null && value !== undefined && value !== false) {
        node.setAttribute(name, value);
      }
    }
    const parts = children.flat(4).filter((child) => child !== null && child !== undefined);
    node.append(...parts);
    return node;
  }

  const count = (number) => number.toLocaleString("en-US");
  const many = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;
  const listed = (nodes) => nodes.flatMap((node, at) => (at ? [", ", node] : [node]));

  // Where to cut a text near a place, so that no character is cut in two.
  function edge(text, at) {
    return at > 0 && text.codePointAt(at - 1) > 0xffff ? at - 1 : at;
  }

  const cut = (text, limit) =>
    (text.length > limit ? `${text.slice(0, edge(text, limit))}…` : text);

  // Control and format characters, as okrt.report.plain escapes them; ANSI codes are one piece.
  const HIDDEN = /(?:\x1b\[[0-9;?]*[ -/]*[@-~])+|[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu;

  function escaped(character) {
    const code = character.codePointAt(0);
    if (character === "\r") return "\\r";
    if (character === "\n" || character === "\t" || (code > 31 && code < 127)) return character;
    const [letter, width] = code < 256 ? ["x", 2] : code < 65536 ? ["u", 4] : ["U", 8];
    return `\\${letter}${code.toString(16).padStart(width, "0")}`;
  }

  // Text as nodes.
  function shown(text) {
    const nodes = [];
    let done = 0;
    for (const found of text.matchAll(HIDDEN)) {
      const visible = Array.from(found[0], escaped).join("");
      if (visible === found[0]) continue; // new lines and tabs
      nodes.push(text.slice(done, found.index), make("span", { class: "okrt-control" }, visible));
      done = found.index + found[0].length;
    }
    return [...nodes, text.slice(done)];
  }

  // A name of the agent's own.
  const word = (text) =>
    make("code", { class: "okrt-word" }, make("bdi", {}, shown(cut(text, 80))));

  // -- lines ------------------------------------------------------------------------------------

  // A line too long to lay out at once, with a button for more of it. Pieces are laid out each for
  // itself: time grows with the square of the length of text that has no place to wrap.
  function long(text) {
    const box = make("span", {});
    const more = make("button", { type: "button", "data-okrt-more": "chars" });
    let done = 0;
    const show = (until) => {
      while (done < until) {
        const end = edge(text, Math.min(done + PIECE, until));
        box.append(make("span", { class: "okrt-piece" }, shown(text.slice(done, end))));
        done = end;
      }
      const next = Math.min(CHARS_AT_ONCE, text.length - done);
      more.textContent = `${many(next, "more character")} of ${count(text.length - done)}`;
    };
    more.addEventListener("click", () => {
      show(edge(text, Math.min(done + CHARS_AT_ONCE, text.length)));
      tall(box);
      if (done === text.length) more.remove();
    });
    show(edge(text, LONGEST_LINE));
    return [box, more];
  }

  const clipped = (text) => (text.length > LONGEST_LINE ? long(text) : shown(text));

  // What was unfolded scrolls within its box, so that what follows stays near.
  function tall(node) {
    const box = node.closest(".okrt-lines");
    if (!box || box.classList.contains("okrt-tall")) return;
    box.classList.add("okrt-tall");
    box.setAttribute("tabindex", "0");
  }

  // Lines in a box, folded between the first `head` and the last `tail`; `line(at)` makes one,
  // `keep(at)` says that it must be seen.
  function folded({ total, head, tail, keep, line, label, kind }) {
    const box = make("div", { class: `okrt-lines okrt-${kind}`, role: "group", "aria-label": label });
    for (let at = 0; at < total;) {
      let end = at;
      while (end < total && end >= head && end < total - tail && !keep(end)) end += 1;
      if (end - at >= FEWEST_HIDDEN) {
        box.append(hiddenLines(at, end, line));
        at = end;
      } else {
        for (end = Math.max(end, at + 1); at < end; at += 1) box.append(line(at));
      }
    }
    return box;
  }

  function hiddenLines(from, end, line) {
    const more = make("button", { type: "button", class: "okrt-fold", "data-okrt-more": "lines" });
    let at = from;
    const label = () => {
      more.textContent = `⋯ ${many(end - at, "more line")}`;
    };
    more.addEventListener("click", () => {
      const until = Math.min(end, at + LINES_AT_ONCE);
      if (until - at > TALL) tall(more);
      for (; at < until; at += 1) more.before(line(at));
      if (at < end) label();
      else more.remove();
    });
    label();
    return more;
  }

  // Text of many lines; those from `differs[0]` up to `differs[1]` are marked, and the first few
  // of them are never folded away.
  function text(kind, label, value, differs) {
    const lines = value.replace(/\n$/, "").split("\n");
    const other = (at) => Boolean(differs) && at >= differs[0] && at < differs[1];
    const line = (at) => make("div", { class: `okrt-line${other(at) ? " okrt-differs" : ""}` },
      differs ? make("span", { class: "okrt-sign", "aria-hidden": "true" }, other(at) ? "≠" : "")
        : null,
      make("span", { class: "okrt-text" }, clipped(lines[at])));
    const keep = (at) => other(at) && at < differs[0] + 8;
    return folded({ total: lines.length, head: 10, tail: 6, keep, line, label, kind });
  }

  return { LONGEST_LINE, make, count, many, cut, listed, shown, word, clipped, folded, text };
})();
