"use strict";
(() => {
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const tip = document.getElementById("tip");

/* Theme: the system's, or the one chosen here. */
const themes = ["system", "light", "dark"];
const button = document.getElementById("theme");
const show = () => { button.textContent = "Theme: " + (document.documentElement.dataset.theme || "system"); };
button.hidden = false;
show();
button.addEventListener("click", () => {
  const root = document.documentElement;
  const next = themes[(themes.indexOf(root.dataset.theme || "system") + 1) % 3];
  if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
  try { next === "system" ? localStorage.removeItem("bequest-theme") : localStorage.setItem("bequest-theme", next); } catch { /* no storage: the choice lasts as long as the page */ }
  show();
});

/* Legend: a press keeps an arm strong and fades the rest of its figure. */
const refresh = figure => {
  const on = new Set(all(".key[aria-pressed=true]", figure).map(key => "arm-" + key.dataset.arm));
  figure.classList.toggle("soloed", on.size > 0);
  all(".arm", figure).forEach(arm => arm.classList.toggle("on", [...arm.classList].some(name => on.has(name))));
};
all(".key").forEach(key => key.addEventListener("click", () => {
  key.setAttribute("aria-pressed", key.getAttribute("aria-pressed") !== "true");
  refresh(key.closest("figure"));
}));

/* Tips: of a mark, or of all arms at the nearest place on x. An arm's name stands in the legends. */
const names = Object.fromEntries(all(".key").map(key => [key.dataset.arm, key.textContent.trim()]));
const named = arm => arm.dataset.label || names[arm.classList[1].slice("arm-".length)] || "";
const place = (text, event) => {
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const x = event.clientX + 14 + box.width > innerWidth ? event.clientX - 14 - box.width : event.clientX + 14;
  tip.style.left = Math.max(4, x) + "px";
  tip.style.top = Math.max(4, Math.min(innerHeight - box.height - 4, event.clientY + 12)) + "px";
};
const hide = () => { tip.hidden = true; all(".cross").forEach(line => { line.style.visibility = "hidden"; }); };
const read = (plot, event) => {
  const box = plot.getBoundingClientRect();
  const here = 100 * (event.clientX - box.left) / box.width;
  const stops = plot.dataset.stops.split(" ").map(Number);
  let k = 0;
  stops.forEach((at, i) => { if (Math.abs(at - here) < Math.abs(stops[k] - here)) k = i; });
  const lines = all("g.arm", plot).map(arm => [named(arm), arm.dataset.values.split("|")[k]]).filter(([, value]) => value);
  const number = text => parseFloat(text.replace("−", "-").replace(",", ""));
  lines.sort((a, b) => number(b[1]) - number(a[1]));
  const cross = plot.querySelector(".cross");
  cross.setAttribute("x1", stops[k] + "%");
  cross.setAttribute("x2", stops[k] + "%");
  cross.style.visibility = "visible";
  place([plot.dataset.xTitle + " " + plot.dataset.names.split("|")[k], ...lines.map(pair => pair.join("  "))].join("\n"), event);
};
const over = event => {
  hide();
  const target = event.target instanceof Element ? event.target : null;
  const plot = target && target.closest(".panel .frame") && target.closest(".frame").querySelector("svg[data-stops]");
  const marked = target && target.closest("[data-tip]");
  if (marked && !plot) {
    const arm = marked.closest(".arm");
    const name = arm ? named(arm) : "";
    place((name ? name + ": " : "") + marked.dataset.tip, event);
  }
  else if (plot) read(plot, event);
};
document.addEventListener("pointermove", over);
document.addEventListener("pointerdown", over);
document.addEventListener("scroll", hide, { passive: true });
document.addEventListener("keydown", event => { if (event.key === "Escape") hide(); });

/* Tables: sorted by a press on a heading; a third press brings the first order back. */
const order = ["none", "descending", "ascending"];
const key = cell => {
  const raw = "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim().replace("−", "-");
  return raw !== "" && isFinite(raw) ? Number(raw) : null;
};
all("table.sortable").forEach(table => {
  const body = table.tBodies[0];
  const given = [...body.rows];
  all("thead th", table).forEach((head, column) => {
    const press = document.createElement("button");
    press.type = "button";
    press.append(...head.childNodes);
    head.append(press);
    press.addEventListener("click", () => {
      const next = order[(order.indexOf(head.getAttribute("aria-sort") || "none") + 1) % 3];
      all("thead th", table).forEach(other => other.removeAttribute("aria-sort"));
      if (next !== "none") head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const sorted = next === "none" ? given : [...given].sort((a, b) => {
        const [x, y] = [a.cells[column], b.cells[column]];
        const [p, q] = [key(x), key(y)];
        if (p !== null && q !== null) return sign * (p - q);
        if (p !== null || q !== null) return p === null ? 1 : -1;
        return sign * -x.textContent.localeCompare(y.textContent);
      });
      body.append(...sorted);
    });
  });
});

/* Copying, also where a page opened from a file has no clipboard. */
all(".copy").forEach(copy => {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    const text = document.getElementById(copy.dataset.copy).textContent;
    try { await navigator.clipboard.writeText(text); } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
});

/* Evidence opens where a link leads to it, and on paper. */
const reveal = part => all("details.evidence", part).forEach(details => { details.open = true; });
all(".contents a").forEach(link => link.addEventListener("click", () => reveal(document.getElementById(link.hash.slice(1)))));
addEventListener("beforeprint", () => reveal(document));

/* Contents: the part on the screen is marked. */
const links = new Map(all(".contents a").map(link => [link.hash.slice(1), link]));
if ("IntersectionObserver" in window) {
  const watch = new IntersectionObserver(entries => entries.forEach(entry => {
    if (!entry.isIntersecting) return;
    links.forEach(link => link.classList.remove("here"));
    links.get(entry.target.id).classList.add("here");
  }), { rootMargin: "-10% 0px -70% 0px" });
  links.forEach((_, id) => { const part = document.getElementById(id); if (part && id !== "main" && id !== "why") watch.observe(part); });
}
})();
