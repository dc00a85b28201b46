"use strict";
// The map without this: marks with their names. With it: their pictures, arrow keys, and families picked out.
(() => {
  const plane = document.getElementById("plane");
  if (!plane) return;
  const [ring, tip, said] = ["ring", "tip", "said"].map((id) => document.getElementById(id));
  const byFrozen = document.getElementById("by-frozen");
  const REACH_PX = 26;
  let current = null;

  const points = [...plane.querySelectorAll("use")].map((mark) => {
    const title = mark.querySelector("title");
    const place = (name) => mark.style.getPropertyValue(name).split(",").map(parseFloat);
    const point = { mark, text: title.textContent, family: mark.dataset.family, photo: mark.dataset.photo };
    point.trained = place("--t");
    point.frozen = byFrozen ? place("--f") : point.trained;
    title.remove(); // the browser's own tip would lie over ours
    return point;
  });
  const placeOf = (point) => (byFrozen && byFrozen.checked ? point.frozen : point.trained);

  function show(point, aloud) {
    current = point;
    const picture = point && document.getElementById("p" + point.photo);
    ring.toggleAttribute("hidden", !point);
    tip.hidden = !point;
    if (!point) return;
    const [x, y] = placeOf(point);
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    tip.querySelector("svg").style.display = picture ? "" : "none";
    if (picture) {
      tip.querySelector("use").setAttribute("href", "#" + picture.id);
      tip.querySelector("svg").setAttribute("viewBox", `0 0 ${picture.getAttribute("width")} ${picture.getAttribute("height")}`);
    }
    tip.querySelector("p").textContent = point.text;
    if (aloud) said.textContent = point.text;
    const { width, height } = plane.viewBox.baseVal;
    const scale = plane.clientWidth / width;
    const left = Math.min(Math.max(x * scale - tip.offsetWidth / 2, 4), plane.clientWidth - tip.offsetWidth - 4);
    tip.style.left = left + "px";
    const below = y < height / 2;
    tip.style.top = (below ? y * scale + 16 : y * scale - tip.offsetHeight - 16) + "px";
  }

  function nearest(x, y, allowed) {
    let best = null, least = Infinity;
    for (const point of points) {
      const [px, py] = placeOf(point);
      const cost = allowed(px - x, py - y, point);
      if (cost < least) [best, least] = [point, cost];
    }
    return best;
  }

  function follow(event) {
    const reach = (REACH_PX * plane.viewBox.baseVal.width) / plane.clientWidth;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plane.getScreenCTM().inverse());
    const picked = plane.classList.contains("picked");
    show(nearest(at.x, at.y, (dx, dy, point) => {
      const apart = Math.hypot(dx, dy);
      return apart > reach || (picked && !point.mark.classList.contains("picked")) ? Infinity : apart;
    }));
  }
  plane.addEventListener("pointermove", follow);
  plane.addEventListener("pointerdown", follow);
  plane.addEventListener("pointerleave", () => show(null));
  plane.addEventListener("blur", () => show(null));

  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plane.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return show(null);
    const way = WAYS[event.key];
    if (!way) return;
    event.preventDefault();
    const { width, height } = plane.viewBox.baseVal;
    const [x, y] = current ? placeOf(current) : [width / 2, height / 2];
    const next = nearest(x, y, (dx, dy, point) => {
      if (point === current) return Infinity;
      const along = dx * way[0] + dy * way[1];
      const aside = Math.abs(dx * way[1] - dy * way[0]);
      if (!current) return Math.hypot(dx, dy);
      return along > 0 && aside <= along * 1.5 ? along + 2 * aside : Infinity;
    });
    if (next) show(next, true);
  });

  for (const radio of document.querySelectorAll(".switch input")) radio.addEventListener("change", () => show(null));
  const keys = [...document.querySelectorAll(".keys button")];
  for (const key of keys) {
    key.addEventListener("click", () => {
      key.setAttribute("aria-pressed", String(key.getAttribute("aria-pressed") !== "true"));
      const pressed = new Set(keys.filter((k) => k.getAttribute("aria-pressed") === "true").map((k) => k.dataset.family));
      plane.classList.toggle("picked", pressed.size > 0);
      for (const point of points) point.mark.classList.toggle("picked", pressed.has(point.family));
    });
  }
})();
