/** The gallery: its families, one family's photos, and the photos that may be mislabelled. */

import { askJson } from "../core/api.js";
import { writePlace } from "../core/address.js";
import { element } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { showFailure } from "../core/failure.js";
import { count } from "../core/figures.js";
import { drawMark, learnFamilies } from "../core/marker.js";
import { picture } from "../core/picture.js";
import { showFamily } from "./family.js";
import { showSuspects } from "./suspects.js";

/** @typedef {{name: string, entries: number, examples: string[]}} Family */

/** What can't be a family's name, as a folder is never called so. */
const SUSPECTS = "?suspects";

export class GalleryView {
  constructor() {
    this.title = "Gallery";
    this.content = element("div", { class: "gallery" });
    this.shown = "";
  }

  /** @param {string} argument a family, or nothing for all */
  async enter(argument) {
    this.shown = argument;
    this.title = argument && argument !== SUSPECTS ? nameFamily(argument) : "Gallery";
    this.content.replaceChildren(element("p", { class: "looking" }, "Looking"));
    try {
      const { families } = await askJson("/v1/families");
      learnFamilies(families.map((/** @type {Family} */ family) => family.name));
      const content = await this.choose(argument, families);
      if (this.shown === argument) this.content.replaceChildren(...content);
    } catch (error) {
      if (this.shown === argument) this.content.replaceChildren(showFailure(error, () => void this.enter(argument)));
    }
  }

  /**
   * @param {string} argument
   * @param {Family[]} families
   * @returns {Promise<HTMLElement[]>}
   */
  async choose(argument, families) {
    if (!argument) return showFamilies(families);
    return argument === SUSPECTS ? showSuspects() : showFamily(argument);
  }
}

/** @param {Family[]} families */
function showFamilies(families) {
  const entries = families.reduce((sum, family) => sum + family.entries, 0);
  const most = Math.max(1, ...families.map((family) => family.entries));
  return [
    element(
      "header",
      { class: "heading" },
      element("h1", { tabindex: "-1" }, "Gallery"),
      element("p", { class: "soft" }, `${count(entries, "photo")} of ${count(families.length, "family", "families")}`),
      element("a", { class: "button", href: writePlace("gallery", SUSPECTS) }, "Possible mislabels"),
    ),
    element("ul", { class: "families" }, ...families.map((family) => showTile(family, most))),
  ];
}

/**
 * @param {Family} family
 * @param {number} most entries of any
 */
function showTile({ name, entries, examples }, most) {
  const filled = element("span", {});
  filled.style.width = `${(entries / most) * 100}%`;
  return element(
    "li",
    {},
    element(
      "a",
      { class: "tile", href: writePlace("gallery", name) },
      element("span", { class: "quartet" }, ...examples.slice(0, 4).map((one) => picture(one, { size: 190, alt: "" }))),
      element("span", { class: "named" }, drawMark(name), element("span", {}, nameFamily(name))),
      element("span", { class: "soft small" }, count(entries, "photo")),
      element("span", { class: "thin bar", "aria-hidden": "true" }, filled),
    ),
  );
}
