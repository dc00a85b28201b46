/** A photo enlarged, with what is known of it, and the way to search from it. */

import { writePlace } from "./address.js";
import { button, element } from "./element.js";
import { nameFamily } from "./families.js";
import { similar } from "./figures.js";
import { drawMark } from "./marker.js";
import { picture } from "./picture.js";

/** @typedef {import("./api.js").Entry & {similarity?: number}} Shown */

/**
 * Enlarge one of several photos; the others are a key or a button away.
 *
 * @param {Shown[]} entries
 * @param {number} place of the one to begin with
 */
export function enlarge(entries, place) {
  const stage = element("div", { class: "stage" });
  const dialog = element(
    "dialog",
    { class: "lightbox", "aria-label": "Photo enlarged", keydown: turn },
    stage,
    button("Close", () => dialog.close(), { class: "button close", autofocus: true }),
  );
  const closed = new AbortController();
  dialog.addEventListener("close", () => {
    closed.abort();
    dialog.remove();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  window.addEventListener("hashchange", () => dialog.close(), { signal: closed.signal });
  document.body.append(dialog);
  show(place);
  dialog.showModal();

  /** @param {KeyboardEvent} event */
  function turn(event) {
    if (event.key === "ArrowRight") show(place + 1);
    if (event.key === "ArrowLeft") show(place - 1);
  }

  /** @param {number} next */
  function show(next) {
    const entry = entries[next];
    if (!entry) return;
    place = next;
    const isLast = place === entries.length - 1;
    stage.replaceChildren(
      picture(entry.entry_id, { size: 1024, alt: `${nameFamily(entry.family)}, ${entry.path}` }),
      describe(entry),
      element(
        "div",
        { class: "row" },
        element("a", { class: "button strong", href: writePlace("entry", entry.entry_id) }, "Search from this photo"),
        entries.length > 1 && button("Previous", () => show(place - 1), { disabled: place === 0 }),
        entries.length > 1 && button("Next", () => show(place + 1), { disabled: isLast }),
        entries.length > 1 && element("span", { class: "soft small", role: "status" }, `${place + 1} of ${entries.length}`),
      ),
    );
  }
}

/**
 * What the gallery says of an entry.
 *
 * @param {Shown} entry
 */
export function describe(entry) {
  const facts = [
    entry.similarity === undefined ? "" : `similarity ${similar(entry.similarity)}`,
    entry.species,
    entry.path,
    entry.credit && `photo: ${entry.credit}`,
    entry.license,
    entry.source,
  ];
  return element(
    "div",
    { class: "facts" },
    element("p", { class: "named" }, drawMark(entry.family), nameFamily(entry.family)),
    element("p", { class: "small soft" }, facts.filter(Boolean).join(" · ")),
  );
}
