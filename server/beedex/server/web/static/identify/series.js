/** The photos of a visit: asked about two at a time, listed once there are several. */

import { button, element } from "../core/element.js";
import { describeFailure } from "../core/failure.js";
import { count } from "../core/figures.js";
import { wordVerdict } from "./answer.js";
import { identifyPhoto } from "./query.js";
import { downloadTable } from "./table.js";

/**
 * @typedef {object} Item
 * @property {File} photo
 * @property {string} url of the photo, in this page only
 * @property {AbortController} control
 * @property {import("../core/api.js").Answer} [answer]
 * @property {unknown} [error]
 * @property {import("../core/failure.js").Failure} [failure]
 */

const AT_ONCE = 2;

export class Series {
  /**
   * @param {(item: Item) => void} show is told which photo is to be shown, and again when more is known of it
   * @param {() => void} clear
   */
  constructor(show, clear) {
    /** @type {Item[]} */
    this.items = [];
    /** @type {Item[]} */
    this.queue = [];
    /** @type {Map<Item, HTMLButtonElement>} */
    this.lines = new Map();
    /** @type {Item | null} */
    this.shown = null;
    this.running = 0;
    this.show = show;
    this.rows = element("ol", { class: "rows", "aria-label": "Photos of this visit" });
    this.progress = element("p", { class: "progress", role: "status" });
    this.panel = element(
      "section",
      { class: "series", "aria-label": "Several photos", hidden: true },
      element(
        "div",
        { class: "row" },
        this.progress,
        button("Download CSV", () => downloadTable(this.items)),
        button("Clear", clear, { class: "button quiet" }),
      ),
      this.rows,
    );
  }

  /** @param {File[]} photos */
  add(photos) {
    const items = photos.map((photo) => ({ photo, url: URL.createObjectURL(photo), control: new AbortController() }));
    for (const item of items) {
      const line = element("button", { type: "button", class: "line", click: () => this.select(item) });
      this.lines.set(item, line);
      this.rows.append(element("li", {}, line));
      this.items.push(item);
      this.queue.push(item);
      this.draw(item);
    }
    this.panel.hidden = this.items.length < 2;
    if (items[0]) this.select(items[0]);
    this.work();
  }

  /** @param {Item} item */
  select(item) {
    for (const [other, line] of this.lines) line.toggleAttribute("aria-current", other === item);
    this.shown = item;
    this.show(item);
  }

  /** @param {Item} item whose answer failed */
  retry(item) {
    delete item.error;
    delete item.failure;
    this.queue.push(item);
    this.update(item);
    this.work();
  }

  clear() {
    for (const item of this.items) {
      item.control.abort();
      URL.revokeObjectURL(item.url);
    }
    this.items = [];
    this.queue = [];
    this.lines.clear();
    this.rows.replaceChildren();
    this.shown = null;
    this.panel.hidden = true;
  }

  work() {
    while (this.running < AT_ONCE && this.queue.length) {
      const item = /** @type {Item} */ (this.queue.shift());
      this.running += 1;
      void this.identify(item).finally(() => {
        this.running -= 1;
        this.work();
      });
    }
  }

  /** @param {Item} item */
  async identify(item) {
    try {
      item.answer = await identifyPhoto(item.photo, item.control.signal);
    } catch (error) {
      item.error = error;
      item.failure = describeFailure(error);
    }
    if (!item.control.signal.aborted) this.update(item);
  }

  /** @param {Item} item */
  update(item) {
    this.draw(item);
    if (item === this.shown) this.show(item);
  }

  /** @param {Item} item */
  draw(item) {
    const done = this.items.filter((one) => one.answer || one.failure).length;
    const all = count(this.items.length, "photo");
    this.progress.textContent = done < this.items.length ? `${done} of ${all} done` : all;
    const line = this.lines.get(item);
    line?.classList.toggle("failed", Boolean(item.failure));
    const image = element("img", { src: item.url, alt: "", class: "photo" });
    image.addEventListener("error", () => image.classList.add("missing"));
    line?.replaceChildren(
      image,
      element("span", { class: "said" }, item.answer ? wordVerdict(item.answer) : (item.failure?.title ?? "Looking")),
      element("span", { class: "soft small clip" }, item.photo.name),
    );
  }
}
