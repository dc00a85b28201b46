/** Photos that look more like another family than like their own: where the gallery may be wrong. */

import { askJson } from "../core/api.js";
import { writePlace } from "../core/address.js";
import { element } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { count, similar } from "../core/figures.js";
import { drawMark } from "../core/marker.js";
import { showGrid } from "../core/neighbors.js";
import { picture } from "../core/picture.js";

/**
 * @typedef {object} Suspect
 * @property {import("../core/api.js").Entry} entry
 * @property {string} suspected_family
 * @property {number} own_similarity
 * @property {number} other_similarity
 * @property {import("../core/api.js").Neighbor[]} neighbors
 */

export async function showSuspects() {
  const { suspects, total, rule, checked } = await askJson("/v1/suspects?limit=100");
  const found = total
    ? `${count(total, "photo")} of ${checked.toLocaleString("en")} looked at, the most suspicious first.`
    : `None of ${count(checked, "photo")} looks more like another family than like its own.`;
  return [
    element(
      "header",
      { class: "heading" },
      element("p", { class: "trail" }, element("a", { href: "#/gallery" }, "Gallery")),
      element("h1", { tabindex: "-1" }, "Possible mislabels"),
      element("p", { class: "soft" }, found),
      element("details", { class: "small" }, element("summary", {}, "What is looked for"), element("p", {}, rule)),
    ),
    element("ol", { class: "suspects" }, ...suspects.map(showSuspect)),
  ];
}

/** @param {Suspect} suspect */
function showSuspect({ entry, suspected_family: other, own_similarity: own, other_similarity: otherOwn, neighbors }) {
  return element(
    "li",
    { class: "suspect" },
    element(
      "a",
      { href: writePlace("entry", entry.entry_id), "aria-label": `${nameFamily(entry.family)} that looks like ${nameFamily(other)}: ${entry.path}` },
      picture(entry.entry_id, { size: 190, alt: "" }),
    ),
    element(
      "div",
      {},
      element("p", { class: "named" }, drawMark(entry.family), `Labelled ${nameFamily(entry.family)}`),
      element("p", { class: "named" }, drawMark(other), `Looks like ${nameFamily(other)}`),
      element("p", { class: "soft small" }, `similarity ${similar(otherOwn)} against ${similar(own)}`),
      element("p", { class: "soft small clip" }, entry.path),
    ),
    showGrid(neighbors, { label: "Most similar photos", than: entry.family }),
  );
}
