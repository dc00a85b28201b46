/** The photo at the pointer, or in the middle for those who use keys. */

import { element, fill } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { drawMark } from "../core/marker.js";
import { picture } from "../core/picture.js";

export class Tip {
  constructor() {
    this.panel = element("div", { class: "tip", hidden: true });
    this.entryId = "";
  }

  /**
   * @param {string} entryId
   * @param {string} family
   * @param {number} across where it points to, in CSS pixels
   * @param {number} down
   */
  show(entryId, family, across, down) {
    if (entryId !== this.entryId) {
      this.entryId = entryId;
      this.panel.replaceChildren(picture(entryId, { size: 150, alt: "", atOnce: true }));
      fill(this.panel, element("p", { class: "named" }, drawMark(family), nameFamily(family)));
    }
    this.panel.hidden = false;
    const stage = this.panel.parentElement;
    const { offsetWidth: width, offsetHeight: height } = this.panel;
    const right = Math.min(Math.max(across - width / 2, 8), (stage?.clientWidth ?? width) - width - 8);
    const below = down - height - 16 < 8 ? down + 16 : down - height - 16;
    this.panel.style.transform = `translate(${Math.round(right)}px, ${Math.round(below)}px)`;
  }

  hide() {
    this.panel.hidden = true;
  }
}
