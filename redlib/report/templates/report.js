(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const remembered = (action) => { try { return action(localStorage); } catch { return null; } };

  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const saved = remembered((store) => store.getItem("theme"));
  if (saved === "light" || saved === "dark") root.dataset.theme = saved;
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remembered((store) => store.setItem("theme", root.dataset.theme));
  });

  const code = document.getElementById("code");
  if (code) code.addEventListener("click", () => {
    const open = code.getAttribute("aria-pressed") !== "true";
    all("details.cell").forEach((cell) => { cell.open = open; });
    code.setAttribute("aria-pressed", String(open));
    code.textContent = open ? "Hide all code" : "Show all code";
  });

  const contents = document.querySelector("details.toc");
  if (contents) {
    const narrow = matchMedia("(max-width: 1099px)");
    const fold = () => { contents.open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
    const links = new Map(all(".toc a").map((link) => [link.hash.slice(1), link]));
    const spy = () => {
      const passed = [...links.keys()].filter((id) => document.getElementById(id).getBoundingClientRect().top < 140);
      links.forEach((link, id) => link.toggleAttribute("aria-current", id === passed[passed.length - 1]));
    };
    addEventListener("scroll", () => requestAnimationFrame(spy), { passive: true });
    spy();
  }

  const filters = document.querySelector(".filters");
  if (filters) {
    filters.hidden = false;
    const find = document.getElementById("find");
    const buttons = [...filters.querySelectorAll("button")];
    const apply = () => {
      const words = find.value.trim().toLowerCase();
      const wanted = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.verdict);
      all(".family").forEach((family) => {
        let shown = 0;
        family.querySelectorAll("tbody tr").forEach((row) => {
          row.hidden = (wanted.length > 0 && !wanted.includes(row.dataset.verdict)) || !row.textContent.toLowerCase().includes(words);
          shown += !row.hidden;
        });
        family.hidden = shown === 0;
        if (words || wanted.length) family.open = shown > 0;
      });
    };
    find.addEventListener("input", apply);
    buttons.forEach((button) => button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      apply();
    }));
  }
})();
