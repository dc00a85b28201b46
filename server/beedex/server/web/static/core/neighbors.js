/** Photos in a grid, each of which can be enlarged: neighbors of a query, or entries of a family. */

import { element } from "./element.js";
import { nameFamily } from "./families.js";
import { similar } from "./figures.js";
import { enlarge } from "./lightbox.js";
import { drawMark } from "./marker.js";
import { picture } from "./picture.js";

/** @typedef {import("./lightbox.js").Shown} Shown */

/**
 * @param {Shown[]} entries
 * @param {{label: string, than?: string}} how than is the family that those of others are set against
 */
export function showGrid(entries, { label, than }) {
  const list = element("ol", { class: "grid", "aria-label": label });
  appendToGrid(list, entries, 0, entries, than);
  return list;
}

/**
 * Add to a grid that goes on.
 *
 * @param {HTMLElement} list
 * @param {Shown[]} entries that are added
 * @param {number} start how many there are before them
 * @param {Shown[]} all is what can be leafed through
 * @param {string} [than]
 */
export function appendToGrid(list, entries, start, all, than) {
  entries.forEach((entry, place) => list.append(showOne(entry, () => enlarge(all, start + place), than)));
}

/**
 * @param {Shown} entry
 * @param {() => void} open
 * @param {string} [than]
 */
function showOne(entry, open, than) {
  const isOther = than !== undefined && entry.family !== than;
  const closeness = entry.similarity === undefined ? null : entry.similarity;
  const words = [
    nameFamily(entry.family),
    closeness === null ? entry.path : `similarity ${similar(closeness)}`,
    entry.credit && `photo by ${entry.credit}`,
  ];
  return element(
    "li",
    { class: isOther ? "card other" : "card" },
    element(
      "button",
      { type: "button", class: "enlarge", click: open, "aria-label": `Enlarge: ${words.filter(Boolean).join(", ")}` },
      picture(entry.entry_id, { size: 190, alt: "" }),
    ),
    element("p", { class: "named" }, drawMark(entry.family), element("span", {}, nameFamily(entry.family))),
    closeness !== null && element("p", { class: "closeness" }, showCloseness(closeness), similar(closeness)),
    entry.credit && element("p", { class: "credit" }, entry.credit),
  );
}

/**
 * @param {number} similarity
 */
function showCloseness(similarity) {
  const bar = element("span", { class: "thin bar", "aria-hidden": "true" }, element("span"));
  /** @type {HTMLElement} */ (bar.firstChild).style.width = `${Math.max(similarity, 0) * 100}%`;
  return bar;
}
