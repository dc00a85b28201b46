/** One photo of the gallery, asked about as if it were new: it is never its own neighbor. */

import { askJson } from "../core/api.js";
import { writePlace } from "../core/address.js";
import { element } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { showFailure } from "../core/failure.js";
import { describe } from "../core/lightbox.js";
import { picture } from "../core/picture.js";
import { showAnswer } from "../identify/answer.js";
import { identifyEntry, viewEntry } from "../identify/query.js";
import { showSight } from "../identify/sight.js";

export class EntryView {
  constructor() {
    this.title = "Photo";
    this.content = element("div", { class: "entry" });
    this.shown = "";
  }

  /** @param {string} entryId */
  async enter(entryId) {
    if (this.shown === entryId && this.content.querySelector(".answer")) return;
    this.shown = entryId;
    this.content.replaceChildren(element("p", { class: "looking" }, "Looking"));
    try {
      // An address may have been typed; what is no id must not become another path.
      const path = `/v1/entries/${encodeURIComponent(entryId)}?k=1`;
      const [{ entry }, answer] = await Promise.all([askJson(path), identifyEntry(entryId)]);
      if (this.shown === entryId) this.content.replaceChildren(...this.show(entry, answer));
    } catch (error) {
      if (this.shown !== entryId) return;
      this.content.replaceChildren(showFailure(error, () => void this.enter(entryId)));
    }
  }

  /**
   * @param {import("../core/api.js").Entry} entry
   * @param {import("../core/api.js").Answer} answer
   */
  show(entry, answer) {
    this.title = nameFamily(entry.family);
    const image = picture(entry.entry_id, { size: 640, alt: `${nameFamily(entry.family)}, ${entry.path}` });
    const photo = showSight(image, () => viewEntry(entry.entry_id), entry.path);
    const lead = element("div", { class: "label" }, describe(entry), element("p", { class: "soft" }, "Without its label it would be"));
    return [
      element(
        "p",
        { class: "trail" },
        element("a", { href: "#/gallery" }, "Gallery"),
        element("a", { href: writePlace("gallery", entry.family) }, nameFamily(entry.family)),
      ),
      showAnswer(answer, { photo, lead, thumbnail: () => picture(entry.entry_id, { size: 96, alt: "This photo", atOnce: true }) }),
    ];
  }
}
