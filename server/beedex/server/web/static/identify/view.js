/** The view to begin with: a photo in, a family out. */

import { askJson } from "../core/api.js";
import { announce } from "../core/announcer.js";
import { writePlace } from "../core/address.js";
import { element } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { showFailure } from "../core/failure.js";
import { learnFamilies } from "../core/marker.js";
import { picture } from "../core/picture.js";
import { showAnswer, wordVerdict } from "./answer.js";
import { makeIntake } from "./intake.js";
import { viewPhoto } from "./query.js";
import { Series } from "./series.js";
import { showSight } from "./sight.js";

/** @typedef {import("./series.js").Item} Item */

const EXAMPLES = 6;

export class IdentifyView {
  /** @param {() => void} open brings this view to the front, as a photo may be dropped on any */
  constructor(open) {
    this.title = "Identify";
    this.intake = makeIntake((photos) => {
      open();
      this.intake.setSlim(true);
      this.examples.hidden = true;
      this.series.add(photos);
    });
    this.series = new Series((item) => this.show(item), () => this.clear());
    this.result = element("div", { class: "result" });
    this.examples = element("section", { class: "examples", hidden: true });
    this.content = element(
      "div",
      { class: "identify" },
      element("h1", { class: "unseen", tabindex: "-1" }, "Identify a photo"),
      this.intake.panel,
      this.series.panel,
      this.result,
      this.examples,
    );
  }

  /** Called each time the view comes to the front. */
  async enter() {
    if (this.series.items.length || this.examples.childElementCount) return;
    try {
      this.offer(await askJson("/v1/families"));
    } catch (error) {
      if (!this.series.items.length) this.result.replaceChildren(showFailure(error, () => this.restart()));
    }
  }

  restart() {
    if (!this.series.items.length) this.result.replaceChildren();
    void this.enter();
  }

  clear() {
    this.series.clear();
    this.result.replaceChildren();
    this.intake.setSlim(false);
    this.examples.hidden = !this.examples.childElementCount;
    void this.enter();
  }

  /** @param {{families: {name: string, entries: number, examples: string[]}[]}} known */
  offer({ families }) {
    learnFamilies(families.map((family) => family.name));
    const links = families.slice(0, EXAMPLES).map(({ name, examples: [first] }) =>
      first
        ? element(
            "li",
            {},
            element(
              "a",
              { href: writePlace("entry", first) },
              picture(first, { size: 120, alt: "" }),
              element("span", {}, nameFamily(name)),
            ),
          )
        : null,
    );
    this.examples.replaceChildren(
      element("h2", {}, "Or begin with one of the gallery"),
      element("ul", { class: "strip" }, ...links),
    );
    this.examples.hidden = this.series.items.length > 0;
  }

  /** @param {Item} item */
  show(item) {
    const image = element("img", { src: item.url, alt: `Your photo ${item.photo.name}`, class: "photo" });
    if (item.answer) {
      const photo = showSight(image, () => viewPhoto(item.photo), item.photo.name);
      const thumbnail = () => element("img", { src: item.url, alt: "Your photo", class: "photo" });
      this.result.replaceChildren(showAnswer(item.answer, { photo, thumbnail }));
      announce(wordVerdict(item.answer));
    } else if (item.error) {
      const failure = showFailure(item.error, () => this.series.retry(item));
      this.result.replaceChildren(element("article", { class: "answer failed" }, frame(image), failure));
    } else {
      const waiting = element("div", { class: "verdict waiting" }, element("p", { class: "looking" }, "Looking"));
      this.result.replaceChildren(element("article", { class: "answer" }, frame(image), waiting));
      announce("Looking at the photo");
    }
  }
}

/**
 * A photo of which nothing is known yet; one that this browser can't show leaves an empty frame.
 *
 * @param {HTMLImageElement} image
 */
function frame(image) {
  image.addEventListener("error", () => image.classList.add("missing"));
  return element("figure", { class: "sight" }, element("div", { class: "frame" }, image));
}
