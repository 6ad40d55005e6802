"use strict";
// Opens transcripts, alone or beside the same task in another cell. They lie compressed in the page,
// or in scripts beside it: a page from a disk may fetch nothing else.
okrt.viewer = (() => {
  const { data, element, cut, whole } = okrt;
  const { episodes } = data;
  const find = (name) => document.getElementById(`okrt-${name}`);
  const dialog = find("dialog");
  const compare = find("compare");
  const packed = new Map();
  const opened = new Map();
  let now = null;
  let asked = 0;

  window.okrtPiece = (number, text) => packed.set(number, text);

  function load(number) {
    if (packed.has(number)) return Promise.resolve(packed.get(number));
    const inside = find(`piece-${number}`);
    if (inside) return Promise.resolve(inside.textContent);
    const file = data.files[number];
    return new Promise((resolve, reject) => {
      const script = element("script", { src: file });
      script.addEventListener("load", () => resolve(packed.get(number)));
      script.addEventListener("error", () => reject(new Error(`${file} is not beside this page`)));
      document.head.append(script);
    });
  }

  async function unpack(number) {
    const bytes = Uint8Array.from(atob(await load(number)), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  async function view(at) {
    const number = episodes.piece[at];
    if (number == null) throw new Error("this page holds no transcript of the episode");
    if (!opened.has(number)) {
      if (opened.size > 8) opened.clear();
      opened.set(number, unpack(number));
    }
    const found = (await opened.get(number))[episodes.place[at]];
    if (found?.id !== episodes.id[at]) throw new Error("the files beside this page are of another page");
    return { ...found, axes: okrt.episode(at).axes };
  }

  // The same task in other cells, or again in the same one.
  function others(at) {
    return episodes.task.flatMap((task, other) => (task === episodes.task[at] && other !== at ? [other] : []));
  }

  function titled(at) {
    const { letter, model, runtime, repeat, axes } = okrt.episode(at);
    return `${letter}: ${cut(model, 40)} → ${cut(runtime, 24)}${axes && `, ${cut(axes, 60)}`}${repeat ? `, repeat ${repeat}` : ""}`;
  }

  // What may stand beside an episode: first those of the same settings, which are its pairs.
  function choices(at) {
    const option = (other) => element("option", { value: other }, titled(other));
    const like = (other) => episodes.section[other] === episodes.section[at];
    const apart = others(at).filter((other) => !like(other));
    const group = element("optgroup", { label: "under other settings" }, apart.map(option));
    return [...others(at).filter(like).map(option), ...(apart.length ? [group] : [])];
  }

  function head(at) {
    const episode = okrt.episode(at);
    const score = episode.score == null ? "no score" : `score ${episode.score.toFixed(3)}`;
    const tokens = episode.tokens == null ? "tokens not measured" : `${whole(episode.tokens)} tokens`;
    find("dialog-title").textContent = episode.task;
    find("dialog-about").textContent = `${titled(at)}: ${score}, ${tokens}, ${episode.turns ?? "no"} turns, ended: ${episode.ending}`;
    compare.replaceChildren(element("option", { value: "" }, "nothing"), ...choices(at));
    const order = okrt.episodes.order();
    const place = order.indexOf(at);
    find("previous").disabled = place <= 0;
    find("next").disabled = place < 0 || place >= order.length - 1;
  }

  async function draw() {
    const mine = ++asked;
    const state = find("dialog-state");
    state.textContent = "Opening the transcript…";
    try {
      const other = compare.value === "" ? null : Number(compare.value);
      const both = await Promise.all([view(now), other == null ? null : view(other)]);
      if (mine !== asked || now == null) return;
      okrtTranscript.render(find("transcript"), both[0], both[1]);
      state.textContent = "";
    } catch (error) {
      if (mine === asked) state.textContent = `The transcript cannot be shown: ${error.message}`;
    }
  }

  function open(at) {
    if (now != null) okrtTranscript.destroy(find("transcript"));
    now = at;
    head(at);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    history.replaceState(null, "", `#episode=${encodeURIComponent(episodes.id[at])}`);
    return draw();
  }

  function step(by) {
    const order = okrt.episodes.order();
    const other = order[order.indexOf(now) + by];
    if (other != null) open(other);
  }

  function fromAddress() {
    const found = /^#episode=(.+)$/.exec(location.hash);
    if (!found) return;
    let wanted;
    try {
      wanted = decodeURIComponent(found[1]);
    } catch {
      return; // no address of ours
    }
    const at = episodes.id.indexOf(wanted);
    if (at >= 0 && at !== now) open(at);
  }

  function start() {
    compare.addEventListener("change", draw);
    find("close").addEventListener("click", () => dialog.close());
    find("previous").addEventListener("click", () => step(-1));
    find("next").addEventListener("click", () => step(1));
    dialog.addEventListener("close", () => {
      asked += 1;
      now = null;
      okrtTranscript.destroy(find("transcript"));
      history.replaceState(null, "", "#episodes");
    });
    window.addEventListener("hashchange", fromAddress);
    fromAddress();
  }

  return { start, open };
})();
