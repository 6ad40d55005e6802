// One turn of a transcript: what was written, run and shown, and what is marked in it.
"use strict";

window.okrtTurns = (() => {
  const { LONGEST_LINE, make, count, many, cut, listed, shown, word, clipped, folded, text } =
    window.okrtText;
  const OPEN_CALLS = 3; // so many tool calls are shown unasked
  const MISSED_SHOWN = 3, REWRITTEN_SHOWN = 20, NAMES_SHOWN = 60;

  const STATUS = {
    ok: "✓ ran to its end", raised: "✗ raised an error", cap: "✗ hit the tool-call cap",
    timeout: "✗ ran out of time", died: "✗ its process died",
  };
  const PROBLEM = {
    no_block: "no block in the reply", empty_block: "the block is empty",
    unclosed: "the block is not closed", other_language: "the block is in another language",
    two_blocks: "more than one block: the first ran", text_after: "text after the block",
    skipped_block: "a block before the one that ran was skipped",
    bad_call: "the call cannot be read", unknown_function: "a function that does not exist",
  };
  const SIGN = { lost: "✗", typo: "≈", undefined: "?", guarded: "◇", rewritten: "↻", bound: "●" };
  const COLOUR = {
    k: "keyword", s: "string", n: "literal", c: "comment", b: "builtin", d: "defined", t: "tool",
  };

  const chip = (kind, ...parts) => make("span", { class: `okrt-chip okrt-${kind}` }, parts);
  const strong = (words) => make("strong", {}, words);
  const sign = (kind) => make("span", { class: "okrt-sign", "aria-hidden": "true" }, SIGN[kind]);

  // -- code -------------------------------------------------------------------------------------

  // Runs of colour ("7-3k") as [start, end, kind].
  function runs(colours) {
    const made = [];
    let start = 0;
    for (const [, length, kind] of (colours || "").matchAll(/(\d+)(\D)/g)) {
      const end = start + Number(length);
      if (kind !== "-") made.push([start, end, kind]);
      start = end;
    }
    return made;
  }

  // Lines as Python counts them, each with its start: a lone carriage return ends one too.
  function split(code) {
    const lines = [];
    let start = 0;
    for (const end of code.matchAll(/\r\n|\r|\n/g)) {
      lines.push([code.slice(start, end[0] === "\r" ? end.index + 1 : end.index), start]);
      start = end.index + end[0].length;
    }
    return [...lines, [code.slice(start), start]];
  }

  // Where a name stands in a line, as a word.
  function places(line, name) {
    if (!name || name.length > 200) return [];
    const literal = name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
    const whole = new RegExp(`(?<![\\p{L}\\p{N}_])${literal}(?![\\p{L}\\p{N}_])`, "gu");
    return Array.from(line.matchAll(whole), (found) => [found.index, found.index + name.length]);
  }

  // One line of code: its colours, and the names that its marks speak of.
  function painted([line, start], colours, marks) {
    if (line.length > LONGEST_LINE) return clipped(line);
    const end = start + line.length;
    const kinds = colours.filter(([from, to]) => from < end && to > start).map(
      ([from, to, kind]) => [Math.max(from, start) - start, Math.min(to, end) - start, kind]);
    const names = marks.flatMap((mark) =>
      places(line, mark.name).map(([from, to]) => [from, to, mark.kind]));
    const edges = [0, line.length, ...[...kinds, ...names].flatMap(([from, to]) => [from, to])];
    const cuts = [...new Set(edges)].sort((one, other) => one - other);
    return cuts.slice(0, -1).map((from, at) => {
      const within = (run) => run[0] <= from && run[1] > from;
      const kind = kinds.find(within), mark = names.find(within);
      const piece = shown(line.slice(from, cuts[at + 1]));
      const tinted = kind ? make("span", { class: `okrt-${COLOUR[kind[2]]}` }, piece) : piece;
      return mark ? make("mark", { class: `okrt-name okrt-${mark[2]}` }, tinted) : tinted;
    });
  }

  // `place` is the episode, the side it is shown on and the turn's number, from 1.
  function block(place, turn, differs) {
    const lines = split(turn.code), colours = runs(turn.colours);
    const marks = (turn.marks || []).map((mark, at) => ({ ...mark, at }));
    const notes = marks.filter((mark) => mark.kind !== "rewritten");
    const other = (at) => Boolean(differs) && at >= differs[0] && at < differs[1];
    const line = (at) => {
      const here = marks.filter((mark) => mark.line === at + 1);
      const below = notes.filter((mark) => mark.line === at + 1);
      const first = below[0] || here[0];
      return make("div", { class: first ? `okrt-has-${first.kind}` : null },
        make("div", { class: `okrt-line${other(at) ? " okrt-differs" : ""}` },
          make("span", { class: "okrt-number", "aria-hidden": "true" },
            other(at) ? "≠ " : "", String(at + 1)),
          first ? sign(first.kind) : make("span", { class: "okrt-sign" }),
          make("code", { class: "okrt-text" }, painted(lines[at], colours, here))),
        noted(place, below));
    };
    const near = (at) => notes.some((mark) => Math.abs(mark.line - 1 - at) < 2);
    const keep = (at) => near(at) || (other(at) && at < differs[0] + 8);
    const label = `Block of turn ${place.number}`;
    const elsewhere = notes.filter((mark) => !(mark.line >= 1 && mark.line <= lines.length));
    return [
      folded({ total: lines.length, head: 24, tail: 4, keep, line, label, kind: "block" }),
      noted(place, elsewhere), rewritten(place, marks),
    ];
  }

  // -- marks ------------------------------------------------------------------------------------

  const turnId = (side, turn) => `okrt-${side}-turn-${turn}`;
  const markId = (side, turn, at) => `${turnId(side, turn)}-mark-${at}`;
  const lineText = (line) => (line ? `, line ${line}` : "");
  const jump = (id, direction, ...label) =>
    make("a", { href: `#${id}`, "data-okrt-jump": direction }, label);

  // A link to the mark where a name was bound, or to the turn where that has none.
  function boundLink({ episode, side }, mark, short) {
    if (!mark.bound) return "an earlier turn";
    const [turn, line] = mark.bound;
    const at = (episode.turns[turn - 1].marks || []).findIndex((one) =>
      one.kind === "bound" && one.name === mark.name && one.line === line);
    const id = at < 0 ? turnId(side, turn) : markId(side, turn, at);
    return jump(id, "bound", `turn ${turn}${short ? "" : lineText(line)}`);
  }

  function missedLinks({ episode, side }, mark) {
    const links = mark.missed.map((turn) => {
      const marks = episode.turns[turn - 1].marks || [];
      const at = marks.findIndex((one) =>
        (one.kind === "lost" || one.kind === "guarded") && one.name === mark.name);
      return jump(markId(side, turn, at), "missed", `turn ${turn}${lineText(marks[at].line)}`);
    });
    const rest = links.slice(MISSED_SHOWN);
    return [listed(links.slice(0, MISSED_SHOWN)), rest.length ? make("details", {},
      make("summary", {}, `and in ${many(rest.length, "more turn")}`), listed(rest)) : null];
  }

  function said(place, mark) {
    const name = mark.name ? word(mark.name) : "a name";
    switch (mark.kind) {
      case "lost":
        return [strong("Lost: "), name, " is not there. Bound in ", boundLink(place, mark), "."];
      case "guarded":
        return [strong("Guarded loss: "), name, " is not there, and the code is ready for that. " +
          "Bound in ", boundLink(place, mark), "."];
      case "typo":
        return [strong("Typo: "), name, " was never bound",
          mark.near ? ["; close to ", word(mark.near)] : null, "."];
      case "undefined":
        return [strong("Undefined: "), name, " was never bound."];
      default:
        return [strong("Bound here: "), name, ", missed in ", missedLinks(place, mark)];
    }
  }

  function noted(place, marks) {
    return marks.length ? make("ul", { class: "okrt-notes" }, marks.map((mark) => make("li", {
      class: `okrt-note okrt-${mark.kind}`, id: markId(place.side, place.number, mark.at),
      tabindex: "-1", "data-okrt-mark": mark.kind,
    }, sign(mark.kind), make("div", {}, said(place, mark))))) : null;
  }

  // What the block binds anew that an earlier turn had bound.
  function rewritten(place, marks) {
    const again = marks.filter((mark) => mark.kind === "rewritten");
    const group = (alive, label) => {
      const some = again.filter((mark) => (mark.alive ?? null) === alive);
      const links = listed(some.slice(0, REWRITTEN_SHOWN).map((mark) =>
        [word(mark.name), " (", boundLink(place, mark, true), ")"]));
      const rest = some.length - REWRITTEN_SHOWN;
      return some.length ? make("div", {
        class: "okrt-note okrt-rewritten", "data-okrt-mark": "rewritten",
      }, sign("rewritten"), make("div", {}, strong(label), links,
        rest > 0 ? ` and ${many(rest, "more name")}` : null)) : null;
    };
    return [group(true, "Written again, though alive: "),
      group(false, "Written again, after it was gone: "), group(null, "Written again: ")];
  }

  // -- parts of a turn --------------------------------------------------------------------------

  const titled = (label, differs, ...parts) => make("div", { class: "okrt-part" },
    make("p", { class: "okrt-label" }, label, differs ? [" ", chip("differ", "≠ differs")] : null),
    parts);

  const closed = (label, open, ...parts) =>
    make("details", { class: "okrt-part", open }, make("summary", {}, label), parts);

  function calls({ calls: made = [], refused }) {
    if (!made.length && !refused) return null;
    const failed = made.filter((call) => call[3] !== undefined).length;
    const kinds = new Map();
    for (const [tool] of made) kinds.set(tool, (kinds.get(tool) || 0) + 1);
    const tally = [...kinds].map(([tool, times]) => `${tool} ×${times}`).join(", ");
    const label = [many(made.length, "tool call"), tally ? [": ", shown(cut(tally, 300))] : null,
      failed ? `; ${count(failed)} with an error` : null,
      refused ? [" ", chip("bad", `! ${count(refused)} refused beyond the cap`)] : null];
    const line = (at) => {
      const [tool, asked, result, error] = made[at];
      const end = error === undefined ? ["→ ", clipped(result)] : ["✗ ", clipped(error)];
      return make("div", { class: `okrt-line${error === undefined ? "" : " okrt-failed"}` },
        make("code", { class: "okrt-text" }, make("span", { class: "okrt-tool" },
          shown(cut(tool, 200))), "(", clipped(asked), ") ", end));
    };
    const box = { total: made.length, head: 30, tail: 0, keep: () => false, line, kind: "quiet" };
    return closed(label, made.length > 0 && made.length <= OPEN_CALLS,
      folded({ ...box, label: "Tool calls" }));
  }

  const namesLine = (kind, label, names) => (names && names.length
    ? make("p", { class: `okrt-names okrt-${kind}` },
      make("span", { class: "okrt-label" }, `${label}: `), 
      listed(names.slice(0, NAMES_SHOWN).map(word)), names.length > NAMES_SHOWN
        ? ` and ${many(names.length - NAMES_SHOWN, "more name")}` : null) : null);

  const time = (seconds) => (seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`
    : `${seconds.toFixed(1)} s`);

  function tokens({ tokens: used = {}, seconds = {} }, most, button) {
    const { prompt, completion, fresh, cached, thinking } = used;
    const parts = [];
    if (prompt !== undefined) {
      const parted = fresh === undefined ? ""
        : ` (${count(fresh)} new, ${count(Math.max(0, prompt - fresh))} again)`;
      parts.push(`${count(prompt)} tokens read${parted}`);
    }
    if (cached !== undefined) parts.push(`${count(cached)} cached`);
    if (completion !== undefined) {
      parts.push(`${count(completion)} written${thinking ? `, ${count(thinking)} thinking` : ""}`);
    }
    if (!parts.length) parts.push("tokens not measured");
    for (const [kind, spent] of Object.entries(seconds)) {
      parts.push(`${kind === "sandbox_s" ? "block" : kind.replace(/_s$/, "")} ${time(spent)}`);
    }
    return make("div", { class: "okrt-tokens" }, bar(used, most),
      make("span", {}, parts.join(" · ")), button);
  }

  // How the turn's tokens compare with the dearest turn's: read again, read anew, written.
  function bar({ prompt, completion, fresh = 0 }, most) {
    if (prompt === undefined || completion === undefined || !most) return null;
    const parts = [["again", Math.max(0, prompt - fresh)], ["fresh", fresh], ["written", completion]];
    return make("span", { class: "okrt-bar", "aria-hidden": "true" }, parts.map(([kind, value]) => {
      const part = make("span", { class: `okrt-bar-${kind}` });
      part.style.width = `${(100 * value) / most}%`;
      return part;
    }));
  }

  function ended(turn) {
    if (!turn.status) return chip("muted", "– no block was run");
    const raised = turn.status === "raised" && turn.error_type;
    return chip(turn.status === "ok" ? "good" : "bad", raised
      ? ["✗ raised ", shown(cut(turn.error_type, 80))] : STATUS[turn.status] || turn.status);
  }

  function chips(turn, number, same) {
    const looped = turn.looped ? "! cut: it repeats itself" : "! cut by the length limit";
    return [
      ended(turn),
      turn.problem ? chip("bad", `! ${PROBLEM[turn.problem] || turn.problem}`) : null,
      turn.cut ? chip("bad", looped) : null,
      turn.restarted ? chip("bad", "! the session starts empty") : null,
      same ? chip("muted", `↻ same block as turn ${same}`) : null,
      turn.block && turn.block !== number ? chip("muted", `block ${turn.block}`) : null,
    ].filter(Boolean);
  }

  function body(place, turn, differs) {
    const names = turn.names || {};
    const lost = count(turn.dropped_chars || 0);
    const quiet = (label, value) => text("quiet", label, value);
    const stated = (words) => make("p", { class: "okrt-label" }, words);
    return [
      turn.thought ? closed(`Thinking (${many(turn.thought.length, "character")})`, false,
        quiet("Thinking", turn.thought)) : null,
      turn.said ? titled("Reply", differs.said, text("said", "Reply", turn.said, differs.said))
        : null,
      namesLine("gone", "− Gone since the last block", names.lost),
      turn.code === undefined ? null
        : titled("Block", differs.code, block(place, turn, differs.code)),
      turn.asked ? titled("Call", differs.asked, quiet("Call", turn.asked)) : null,
      turn.dropped ? closed(`Behind the block, dropped from the history (${
        many(turn.dropped.length, "character")})`, false, quiet("Dropped", turn.dropped)) : null,
      turn.dropped_chars && !turn.dropped && !turn.thought
        ? stated(`${lost} characters were dropped from the history`) : null,
      calls(turn),
      turn.observation ? titled("Observation", differs.observation,
        text("observation", "Observation", turn.observation, differs.observation)) : null,
      turn.unseen ? titled("Output, not shown to the model", differs.unseen,
        text("observation", "Output", turn.unseen, differs.unseen)) : null,
      turn.cut_chars ? stated(`${count(turn.cut_chars)} characters of output were cut`) : null,
      turn.late_bytes ? stated(`${count(turn.late_bytes)} bytes of output came too late`) : null,
      namesLine("new", "+ New", names.new), namesLine("kept", "= Kept", names.kept),
      namesLine("kept", "Before the block", names.before),
      namesLine("gone", "− Deleted", names.deleted),
    ];
  }

  // A turn as an article. `differs` holds, for a turn in which two episodes part, the lines of each
  // part that are not in the other; `most` is the tokens of the dearest turn.
  function view(place, cell, differs, most) {
    const { episode, side, number } = place;
    const turn = episode.turns[number - 1], same = repeated(episode, number);
    const id = turnId(side, number);
    const again = Boolean(same) && turn.status !== "ok"; // the same mistake, with nothing new to see
    const inner = make("div", { id: `${id}-body`, class: "okrt-body", hidden: again && !differs },
      body(place, turn, differs || {}));
    return make("article", {
      class: "okrt-turn", id, tabindex: "-1", "aria-labelledby": `${id}-title`,
      "data-okrt-turn": number, "data-okrt-side": side, "data-okrt-departs": Boolean(differs),
    }, make("header", {}, make("div", { class: "okrt-heading" },
      make("h4", { id: `${id}-title` }, `Turn ${number}`,
        cell ? make("span", { class: "okrt-where" }, " ", cell) : null),
      chips(turn, number, same)), tokens(turn, most, again ? unfold(inner, number) : null)), inner);
  }

  function unfold(inner, number) {
    const button = make("button", { type: "button", "aria-controls": inner.id });
    const label = () => {
      const does = inner.hidden ? "Show" : "Hide";
      button.textContent = does;
      button.setAttribute("aria-expanded", String(!inner.hidden));
      button.setAttribute("aria-label", `${does} turn ${number}`);
    };
    button.addEventListener("click", () => {
      inner.hidden = !inner.hidden;
      label();
    });
    label();
    return button;
  }

  // The turn whose block this one writes again, right after it and with the same end; else 0.
  function repeated(episode, number) {
    const like = (one, other) => one.code !== undefined && one.code === other.code &&
      one.status === other.status && one.error === other.error;
    let first = number;
    while (first > 1 && like(episode.turns[first - 2], episode.turns[number - 1])) first -= 1;
    return first < number ? first : 0;
  }

  return { SIGN, chip, strong, jump, markId, turnId, closed, view };
})();
