// The transcript view: one episode, or the same task in two cells with turn beside turn.
//
// okrtTranscript.render(element, left, right) fills an element from the data of
// okrt.report.html.episodes.view; `right` may be null. Ids and data-okrt-* attributes hold numbers
// and words of these files alone.
"use strict";

window.okrtTranscript = (() => {
  const { make, many, cut, listed, shown, word, text } = window.okrtText;
  const { SIGN, chip, strong, jump, markId, turnId, closed, view } = window.okrtTurns;
  const LINKS_SHOWN = 5;

  const ENDING = {
    finished: "finished", max_turns: "out of turns", context: "out of context",
    token_budget: "out of tokens",
  };
  const PARTS = {
    said: "the reply", code: "the block", asked: "the call", observation: "the observation",
    unseen: "the output",
  };
  const WRITTEN = ["said", "code", "asked"];

  const turnsOf = (episode) => episode.turns || [];
  const cell = ({ model, contract, axes, repeat }) => make("bdi", {},
    shown(cut(`${model} in ${contract}`, 120)), axes ? `, ${axes}` : null, repeat ? `, repeat ${repeat}` : null);

  // -- where two episodes part ------------------------------------------------------------------

  // The lines between what two texts begin and end with alike, for each of them.
  function apart(one = "", other = "") {
    const lines = [one, other].map((value) => value.split("\n"));
    const shortest = Math.min(lines[0].length, lines[1].length);
    let start = 0, end = 0;
    while (start < shortest && lines[0][start] === lines[1][start]) start += 1;
    while (end < shortest - start && lines[0].at(-1 - end) === lines[1].at(-1 - end)) end += 1;
    return lines.map((some) => [start, some.length - end]);
  }

  // The first turn in which two episodes part and what differs in it; null where none does.
  function departure(left, right) {
    const most = Math.max(turnsOf(left).length, turnsOf(right).length);
    for (let number = 1; number <= most; number += 1) {
      const one = turnsOf(left)[number - 1], other = turnsOf(right)[number - 1];
      if (!one || !other) return { number, parts: [], left: {}, right: {} };
      const parts = Object.keys(PARTS).filter((part) => one[part] !== other[part]);
      if (parts.length) {
        const sides = parts.map((part) => [part, apart(one[part], other[part])]);
        const of = (at) => Object.fromEntries(sides.map(([part, lines]) => [part, lines[at]]));
        return { number, parts, left: of(0), right: of(1) };
      }
    }
    return null;
  }

  function told(left, right, found) {
    if (left.prompt === undefined || right.prompt === undefined) return null;
    const prompts = left.prompt === right.prompt ? null : "The prompts differ. ";
    const row = (...parts) => make("p", { class: "okrt-departure",
      "data-okrt-departure": found ? found.number : "none" }, strong(found ? "≠ " : "= "), prompts,
    parts);
    if (!found) return row("Every turn is the same on both sides.");
    const side = turnsOf(left)[found.number - 1] ? "left" : "right";
    const link = jump(turnId(side, found.number), "departure", `turn ${found.number}`);
    const same = found.number === 1 ? null : `The same up to turn ${found.number - 1}. `;
    if (!found.parts.length) return row(same, "Only the ", side, " one has a ", link, ".");
    const parts = found.parts.map((part) => PARTS[part]);
    const last = parts.pop();
    const written = WRITTEN.some((part) => found.parts.includes(part));
    return row(same, "In ", link, " ", parts.length ? `${parts.join(", ")} and ${last} differ`
      : `${last} differs`, written ? "." : "; what the model wrote is the same.");
  }

  // -- above the turns --------------------------------------------------------------------------

  function summary(episode, side) {
    const { tokens: { prompt, completion } = {}, score, ending } = episode;
    const facts = [
      score === undefined ? "no score"
        : `score ${score.toFixed(3)}, ${episode.solved ? "solved" : "not solved"}`,
      ending ? ENDING[ending] || ending : null,
      many(turnsOf(episode).length, "turn"),
      prompt === undefined || completion === undefined ? "tokens not measured"
        : many(prompt + completion, "token"),
      `trained under ${episode.trained_under}`,
    ];
    return make("section", { class: "okrt-side", "data-okrt-side": side,
      "aria-label": `The ${side} transcript` },
    make("h3", {}, cell(episode)),
    make("p", {}, facts.filter(Boolean).join(" · ")),
    episode.failure ? make("p", {}, chip("bad", "✗ broken off"), " ",
      shown(cut(episode.failure, 1000))) : null,
    contents(episode, side));
  }

  // Links to what is marked, so that nobody has to look for it.
  function contents(episode, side) {
    const groups = new Map();
    let again = 0;
    turnsOf(episode).forEach((turn, before) => (turn.marks || []).forEach((mark, at) => {
      if (mark.kind === "rewritten") again += 1;
      if (mark.kind === "rewritten" || mark.kind === "bound") return;
      const key = JSON.stringify([mark.kind, mark.name]);
      const links = groups.get(key) || { mark, links: [] };
      links.links.push(jump(markId(side, before + 1, at), "missed", `turn ${before + 1}`));
      groups.set(key, links);
    }));
    const items = [...groups.values()].map(({ mark, links }) => make("li", {},
      `${SIGN[mark.kind]} ${mark.kind} `, mark.name ? [word(mark.name), " "] : null, "in ",
      listed(links.slice(0, LINKS_SHOWN)), more(links, (rest) => listed(rest), "turn")));
    if (again) items.push(make("li", {}, `${SIGN.rewritten} ${many(again, "name")} written again`));
    if (!groups.size) items.unshift(make("li", {}, "✓ no missing variable"));
    return make("ul", { class: "okrt-contents" }, items.slice(0, 8),
      items.length > 8 ? make("li", {}, make("details", {},
        make("summary", {}, `${items.length - 8} more`), make("ul", {}, items.slice(8)))) : null);
  }

  function more(nodes, laid, one) {
    const rest = nodes.slice(LINKS_SHOWN);
    return rest.length ? make("details", {},
      make("summary", {}, `and ${many(rest.length, `more ${one}`)}`), laid(rest)) : null;
  }

  function prompt(left, right) {
    const one = (episode, label) => (episode && episode.prompt
      ? closed(label, false, text("quiet", label, episode.prompt)) : null);
    const same = !right || left.prompt === right.prompt;
    return same ? one(left, "Prompt") : [one(left, "Prompt, left"), one(right, "Prompt, right")];
  }

  const legend = () => make("p", { class: "okrt-label" },
    "Bars: ", make("span", { class: "okrt-key okrt-bar-again" }), " read again, ",
    make("span", { class: "okrt-key okrt-bar-fresh" }), " read for the first time, ",
    make("span", { class: "okrt-key okrt-bar-written" }), " written; a full bar is the dearest turn");

  // -- the whole --------------------------------------------------------------------------------

  function after(episode, side, number) {
    const last = turnsOf(episode).length;
    const how = ENDING[episode.ending] || "no trajectory";
    return make("p", { class: "okrt-over", "data-okrt-side": side },
      number === last + 1 ? `${how} after ${many(last, "turn")}` : null);
  }

  function turns(left, right, found) {
    const sides = right ? [["left", left], ["right", right]] : [["left", left]];
    const costs = sides.flatMap(([, episode]) => turnsOf(episode).map(({ tokens: used = {} }) =>
      (used.prompt || 0) + (used.completion || 0)));
    const longest = Math.max(...sides.map(([, episode]) => turnsOf(episode).length));
    return Array.from({ length: longest + 1 }, (_, before) => sides.map(([side, episode]) => {
      const number = before + 1;
      if (number > turnsOf(episode).length) return after(episode, side, number);
      const differs = found && found.number === number ? found[side] : null;
      const place = { episode, side, number };
      return view(place, right ? cell(episode) : null, differs, Math.max(0, ...costs));
    }));
  }

  function follow(root, id) {
    const target = document.getElementById(id);
    if (!target || !root.contains(target)) return;
    for (let node = target; node !== root; node = node.parentElement) {
      if (node.hidden) root.querySelector(`[aria-controls="${node.id}"]`).click();
      if (node.tagName === "DETAILS") node.open = true;
    }
    for (const node of root.querySelectorAll(".okrt-target")) node.classList.remove("okrt-target");
    target.classList.add("okrt-target");
    target.focus({ preventScroll: true });
    target.scrollIntoView({ block: target.tagName === "ARTICLE" ? "start" : "center" });
  }

  const listening = new WeakMap();

  // Fills `element` with the transcript of `left`, beside that of `right` unless it is null.
  function render(element, left, right) {
    destroy(element);
    const found = right ? departure(left, right) : null;
    const root = make("div", { class: `okrt-transcript${right ? " okrt-two" : ""}` },
      right ? told(left, right, found) : null,
      make("div", { class: "okrt-grid" }, summary(left, "left"),
        right ? summary(right, "right") : null),
      prompt(left, right), legend(),
      make("div", { class: "okrt-grid okrt-turns" }, turns(left, right, found)));
    const stop = new AbortController();
    root.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-okrt-jump]");
      if (!link) return;
      event.preventDefault();
      follow(root, link.getAttribute("href").slice(1));
    }, { signal: stop.signal });
    listening.set(element, stop);
    element.append(root);
  }

  // Takes a transcript out again.
  function destroy(element) {
    listening.get(element)?.abort();
    listening.delete(element);
    element.replaceChildren();
  }

  return { render, destroy };
})();
