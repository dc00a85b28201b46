/** What the server says of a photo: the verdict in words, the evidence, the neighbors, the place on the map. */

import { element } from "../core/element.js";
import { nameFamilies, nameFamily } from "../core/families.js";
import { percent } from "../core/figures.js";
import { showGrid } from "../core/neighbors.js";
import { showInset } from "../map/inset.js";
import { showEvidence } from "./evidence.js";

/** @typedef {import("../core/api.js").Answer} Answer */

/**
 * @param {Answer} answer
 * @returns {string} the verdict in one line
 */
export function wordVerdict(answer) {
  switch (answer.verdict) {
    case "MATCH":
      return `${nameFamily(answer.family ?? "")}, ${percent(answer.probability)}`;
    case "AMBIGUOUS":
      return nameFamilies(answer.candidates);
    case "UNKNOWN":
      return "Nothing like this in the gallery";
  }
}

/**
 * @param {Answer} answer
 * @returns {string} what stands behind it, in one sentence
 */
function wordReason(answer) {
  const nearest = answer.neighbors[0];
  const agreeing = answer.neighbors.filter((one) => one.family === answer.family).length;
  switch (answer.verdict) {
    case "MATCH":
      return `${agreeing} of the ${answer.neighbors.length} most similar photos are of this family.`;
    case "AMBIGUOUS":
      return "These can't be told apart with confidence here. Compare the photos below, or try one from another side.";
    case "UNKNOWN":
      return nearest
        ? `The nearest photos are shown below, ${nameFamily(nearest.family)} first, but it is too unlike them.`
        : "The gallery has no photos.";
  }
}

/**
 * @param {Answer} answer
 * @param {{photo: HTMLElement, lead?: HTMLElement | null, thumbnail: () => HTMLImageElement}} with_ lead stands before
 *   the verdict; thumbnail makes a small picture of the photo
 */
export function showAnswer(answer, { photo, lead = null, thumbnail }) {
  return element(
    "article",
    { class: `answer ${answer.verdict.toLowerCase()}` },
    photo,
    element(
      "div",
      { class: "verdict" },
      lead,
      element("h1", { tabindex: "-1" }, ...splitVerdict(answer)),
      element("p", { class: "reason" }, wordReason(answer)),
      showEvidence(answer),
      element(
        "details",
        { class: "exactly small" },
        element("summary", {}, "Exactly"),
        element("p", {}, `${answer.verdict}: ${answer.reason}.`),
        element("p", { class: "soft" }, `Snapshot ${answer.snapshot}, embedder ${answer.fingerprint.slice(0, 12)}.`),
      ),
    ),
    element(
      "section",
      { class: "nearest" },
      element("h2", {}, "Most similar photos"),
      showGrid(answer.neighbors, { label: "Most similar photos, nearest first", than: answer.family ?? undefined }),
    ),
    showInset(answer, { words: wordVerdict(answer), thumbnail }),
  );
}

/** @param {Answer} answer */
function splitVerdict(answer) {
  if (answer.verdict !== "MATCH") return [wordVerdict(answer)];
  return [`${nameFamily(answer.family ?? "")}, `, element("span", { class: "share" }, percent(answer.probability))];
}
