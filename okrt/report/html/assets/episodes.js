"use strict";
// The table of episodes: filtered, sorted, a page at a time.
okrt.episode = (at) => {
  const { names, ...columns } = okrt.data.episodes;
  const found = { at };
  for (const [name, column] of Object.entries(columns)) {
    found[name] = names[name] ? names[name][column[at]] : column[at];
  }
  return found;
};

okrt.episodes = (() => {
  const { data, element, cut, whole } = okrt;
  const { episodes } = data;
  const { names } = episodes;
  const PAGE = 50;
  const places = episodes.id.map((_, at) => at);
  const several = (name) => names[name].length > 1;
  const yes = (flag) => (flag == null ? "–" : flag ? "yes" : "no");
  const count = (value) => (value == null ? "–" : whole(value));
  const point = (value) => (value == null ? "–" : value.toFixed(3));
  const COLUMNS = [
    { name: "task", head: "Task", text: true },
    { name: "letter", head: "Cell" },
    { name: "model", head: "Model", text: true, only: several("model") },
    { name: "runtime", head: "Runtime", only: several("runtime") },
    { name: "tier", head: "Tier", only: several("tier") },
    { name: "axes", head: "Settings", only: several("axes") },
    { name: "score", head: "Score", show: point, number: true },
    { name: "relative", head: "Relative", show: point, number: true, only: episodes.relative.some((value) => value != null) },
    { name: "solved", head: "Solved", show: yes },
    { name: "turns", head: "Turns", show: count, number: true },
    { name: "tokens", head: "Total tokens", show: count, number: true },
    { name: "new", head: "New tokens", show: count, number: true },
    { name: "errors", head: "Turns with errors", show: count, number: true },
    { name: "lost", head: "Lost variables", show: count, number: true },
    { name: "ending", head: "Ending" },
  ].filter((column) => column.only !== false);

  const state = { sort: null, down: false, page: 0, chosen: {}, text: "", lost: false, errors: false };
  let kept = places;

  // Numbered columns are sorted as their names are, since these were sorted before.
  function compare(one, other) {
    const column = episodes[state.sort];
    const [a, b] = [column[one], column[other]];
    if (a === b) return one - other;
    if (a == null || b == null) return a == null ? 1 : -1;
    return (a < b ? -1 : 1) * (state.down ? -1 : 1);
  }

  function choose() {
    const wanted = state.text.toLowerCase();
    kept = places.filter((at) =>
      Object.entries(state.chosen).every(([name, value]) => value === "" || String(episodes[name][at]) === value) &&
      (!state.lost || episodes.lost[at] > 0) && (!state.errors || episodes.errors[at] > 0) &&
      (!wanted || names.task[episodes.task[at]].toLowerCase().includes(wanted)));
    if (state.sort) kept.sort(compare);
    state.page = Math.min(state.page, Math.max(0, Math.ceil(kept.length / PAGE) - 1));
  }

  function row(at) {
    const episode = okrt.episode(at);
    return element("tr", { "data-okrt-episode": episode.id }, COLUMNS.map(({ name, show, number, text }) => {
      const value = show ? show(episode[name]) : cut(String(episode[name]), 120);
      const kind = number ? "number" : text ? "text" : null;
      if (name === "task") {
        const button = element("button", { type: "button", "aria-haspopup": "dialog" }, episode.repeat ? `${value}, repeat ${episode.repeat}` : value);
        button.addEventListener("click", () => okrt.viewer.open(at));
        return element("td", { class: kind }, button);
      }
      const marked = name === "lost" && episode.lost > 0;
      return element("td", { class: kind }, marked ? element("span", { class: "yes" }, `✕ ${value}`) : value);
    }));
  }

  const body = element("tbody");
  const told = element("span", { role: "status" });
  const previous = element("button", { type: "button" }, "Previous page");
  const next = element("button", { type: "button" }, "Next page");
  const heads = COLUMNS.map((column) => {
    const button = element("button", { type: "button" }, column.head);
    const head = element("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": "none" }, button);
    button.addEventListener("click", () => {
      state.down = state.sort === column.name ? !state.down : Boolean(column.number);
      state.sort = column.name;
      draw();
    });
    return { column, head, button };
  });

  function draw() {
    choose();
    const first = state.page * PAGE;
    body.replaceChildren(...kept.slice(first, first + PAGE).map(row));
    const last = Math.min(first + PAGE, kept.length);
    told.textContent = kept.length
      ? `${first + 1}–${last} of ${whole(kept.length)} episodes${kept.length < places.length ? ` (${whole(places.length)} in all)` : ""}`
      : "No episode is like this.";
    previous.disabled = state.page === 0;
    next.disabled = last >= kept.length;
    for (const { column, head, button } of heads) {
      const here = state.sort === column.name;
      head.setAttribute("aria-sort", here ? (state.down ? "descending" : "ascending") : "none");
      button.textContent = here ? `${column.head} ${state.down ? "▼" : "▲"}` : column.head;
    }
  }

  function changed(change) {
    return (event) => {
      change(event.target);
      state.page = 0;
      draw();
    };
  }

  function select(label, name, options) {
    const box = element("select", { name }, element("option", { value: "" }, "all"),
      options.map(([value, text]) => element("option", { value }, cut(text, 60))));
    box.addEventListener("change", changed((target) => { state.chosen[name] = target.value; }));
    return element("label", {}, label, box);
  }

  function check(label, name) {
    const box = element("input", { type: "checkbox", name });
    box.addEventListener("change", changed((target) => { state[name] = target.checked; }));
    return element("label", { class: "check" }, box, label);
  }

  function filters() {
    const text = element("input", { type: "search", name: "text", size: 18 });
    text.addEventListener("input", changed((target) => { state.text = target.value; }));
    const numbered = (name) => names[name].map((one, at) => [String(at), one]);
    const endings = [...new Set(episodes.ending)].sort().map((one) => [one, one]);
    return element("form", { class: "filters", "aria-label": "Which episodes" },
      element("label", {}, "Task has the text", text),
      several("model") ? select("Model", "model", numbered("model")) : null,
      several("runtime") ? select("Runtime", "runtime", numbered("runtime")) : null,
      several("tier") ? select("Tier", "tier", numbered("tier")) : null,
      several("axes") ? select("Settings", "axes", numbered("axes")) : null,
      endings.length > 1 ? select("Ending", "ending", endings) : null,
      check("loses a variable", "lost"), check("has turns with errors", "errors"));
  }

  function start(place) {
    if (!places.length) {
      place.append(element("p", {}, "No episodes."));
      return;
    }
    const form = filters();
    form.addEventListener("submit", (event) => event.preventDefault());
    previous.addEventListener("click", () => { state.page -= 1; draw(); });
    next.addEventListener("click", () => { state.page += 1; draw(); });
    place.append(form,
      element("div", { class: "scroll list", role: "region", tabindex: 0, "aria-label": "List of episodes" },
        element("table", {}, element("caption", {}, "Click a task to read its transcript, a heading to sort"),
          element("thead", {}, element("tr", {}, heads.map(({ head }) => head))), body)),
      element("div", { class: "pager" }, previous, next, told));
    draw();
  }

  return { start, order: () => kept };
})();
