/** Why: what speaks for each family. */

import { element } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { percent, similar } from "../core/figures.js";
import { drawMark } from "../core/marker.js";
import { writePlace } from "../core/address.js";

/** @typedef {import("../core/api.js").Answer} Answer */

const SHOWN = 6;

/** @param {Answer} answer */
export function showEvidence(answer) {
  const rows = answer.families.map((score, place) => showFamily(score, answer.candidates.includes(score.family), place));
  const more = rows.slice(SHOWN);
  return element(
    "section",
    { class: "evidence", "aria-label": "How likely each family is" },
    element("ul", { class: "bars" }, ...rows.slice(0, SHOWN)),
    more.length > 0 &&
      element(
        "details",
        {},
        element("summary", {}, `${more.length} more families`),
        element("ul", { class: "bars" }, ...more),
      ),
  );
}

/**
 * @param {Answer["families"][number]} score
 * @param {boolean} isCandidate
 * @param {number} place
 */
function showFamily(score, isCandidate, place) {
  const filled = element("span", { class: isCandidate ? "filled" : "" });
  filled.style.width = `${score.probability * 100}%`;
  filled.style.setProperty("--place", String(Math.min(place, SHOWN)));
  return element(
    "li",
    { title: `similarity ${similar(score.similarity)}` },
    drawMark(score.family),
    element("a", { href: writePlace("gallery", score.family) }, nameFamily(score.family)),
    element("span", { class: "bar", "aria-hidden": "true" }, filled),
    element("span", { class: "figure" }, percent(score.probability)),
  );
}
