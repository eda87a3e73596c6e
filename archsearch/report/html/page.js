"use strict";
// Shows the facts of a trial, for the pointer, the finger and the keyboard, and marks it in every chart. Without it the
// charts have the browser's own titles, and the tables hold the numbers.
(() => {
  const tip = document.getElementById("tip");
  const facts = JSON.parse(document.getElementById("trials-data").textContent);
  const NEAR = 26; // CSS px from the pointer to a point
  let lit = [];

  const lines = (point) => facts[point.dataset.t] || [point.dataset.hover];

  const hide = () => {
    for (const each of lit) each.classList.remove("on");
    lit = [];
    tip.hidden = true;
  };

  const show = (point) => {
    hide();
    lit = [...document.querySelectorAll(`[data-t="${CSS.escape(point.dataset.t)}"]`)];
    for (const each of lit) each.classList.add("on");
    tip.replaceChildren(...lines(point).map((text) => {
      const line = document.createElement("div");
      line.textContent = text;
      return line;
    }));
    tip.hidden = false;
    const box = point.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - tip.offsetWidth / 2), innerWidth - tip.offsetWidth - 8);
    const above = box.top - tip.offsetHeight - 10;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : box.bottom + 10}px`;
  };

  for (const group of document.querySelectorAll("g.points")) {
    const points = [...group.querySelectorAll("[data-t]")];
    const chart = group.ownerSVGElement;
    if (!points.length) continue;
    for (const point of points) {
      const title = point.querySelector("title");
      point.dataset.hover = title ? title.textContent : "";
      if (title) title.remove(); // or else two tips are shown
      point.setAttribute("role", "img");
      point.setAttribute("aria-label", lines(point).join("; "));
      point.setAttribute("tabindex", "-1");
    }
    const middle = (point) => {
      const box = point.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    };
    // One stop of the tab key for each chart; arrows go on from there, from left to right.
    const ordered = points.map((point) => [middle(point)[0], point]).sort((a, b) => a[0] - b[0]).map((pair) => pair[1]);
    const first = points.find((point) => point.classList.contains("best")) || ordered[0];
    first.setAttribute("tabindex", "0");
    chart.addEventListener("keydown", (event) => {
      const here = ordered.indexOf(document.activeElement);
      if (here < 0) return;
      const jumps = { ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1, Home: 0,
        End: ordered.length - 1 };
      if (event.key in jumps) {
        const next = ordered[Math.min(Math.max(jumps[event.key], 0), ordered.length - 1)];
        ordered[here].setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
        event.preventDefault();
      } else if (event.key === "Escape") {
        hide();
      } else if (event.key === "Enter") {
        const row = document.getElementById(`trial-${ordered[here].dataset.t}`);
        if (row) location.hash = row.id;
      }
    });
    chart.addEventListener("focusin", (event) => { if (event.target.dataset.t) show(event.target); });
    chart.addEventListener("focusout", hide);
    const nearest = (event) => {
      let best = null;
      let least = NEAR * NEAR;
      for (const point of points) {
        const [x, y] = middle(point);
        const far = (x - event.clientX) ** 2 + (y - event.clientY) ** 2;
        if (far < least) [best, least] = [point, far];
      }
      if (best) show(best);
      else hide();
    };
    chart.addEventListener("pointermove", nearest);
    chart.addEventListener("pointerdown", nearest);
    chart.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
  }
  addEventListener("scroll", () => { if (!tip.hidden && !document.activeElement.dataset.t) hide(); }, { passive: true });
})();
