"use strict";
// Starts the page: charts into their places, the table, the switch between light and dark.
(() => {
  const THEMES = ["system", "light", "dark"];

  function theme() {
    const button = document.getElementById("okrt-theme");
    const kept = () => { try { return localStorage.getItem("okrt-theme"); } catch { return null; } };
    const keep = (name) => { try { localStorage.setItem("okrt-theme", name); } catch { /* a page may be denied it */ } };
    const set = (name) => {
      if (name === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = name;
      button.textContent = `Theme: ${name}`;
      button.dataset.theme = name;
    };
    set(THEMES.includes(kept()) ? kept() : "system");
    button.hidden = false;
    button.addEventListener("click", () => {
      const name = THEMES[(THEMES.indexOf(button.dataset.theme) + 1) % THEMES.length];
      set(name);
      keep(name);
    });
  }

  function draw(place) {
    const { okrtChart: kind, okrtSection, okrtSweep: number = okrtSection } = place.dataset;
    const section = (okrtSection ? okrt.data.sections : okrt.data.sweeps)[Number(number)];
    try {
      const made = okrt.charts[kind](section, Number(number), place);
      place.replaceChildren(...(made ? [made] : []));
    } catch (error) {
      place.replaceChildren(okrt.element("p", { class: "muted" }, `This chart could not be drawn: ${error.message}`));
      console.error(error);
    }
  }

  const places = [...document.querySelectorAll("[data-okrt-chart]")];
  for (const place of places) okrt.later(() => draw(place));
  okrt.later(() => { document.documentElement.dataset.drawn = "yes"; });
  let width = window.innerWidth;
  let timer;
  window.addEventListener("resize", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (window.innerWidth === width) return;
      width = window.innerWidth;
      for (const place of places) if (place.dataset.okrtChart !== "matrix") okrt.later(() => draw(place));
    }, 200);
  });
  theme();
  okrt.episodes.start(document.getElementById("okrt-episodes"));
  okrt.viewer.start();
})();
