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
 * @property {import("../core/api.js").Answer} [answer]
 * @property {unknown} [error]
 * @property {import("../core/failure.js").Failure} [failure]
 * @property {AbortController} control
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
    /** @type {Item | null} */
    this.shown = null;
    /** @type {Item[]} */
    this.queue = [];
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
    this.items.push(...items);
    this.queue.push(...items);
    this.panel.hidden = this.items.length < 2;
    if (items[0]) this.select(items[0]);
    for (let free = this.running; free < AT_ONCE; free += 1) void this.work();
  }

  /** @param {Item} item */
  select(item) {
    this.shown = item;
    this.draw();
    this.show(item);
  }

  /** @param {Item} item whose answer failed */
  retry(item) {
    delete item.error;
    delete item.failure;
    this.queue.push(item);
    this.update(item);
    if (this.running < AT_ONCE) void this.work();
  }

  clear() {
    for (const item of this.items) {
      item.control.abort();
      URL.revokeObjectURL(item.url);
    }
    this.items = [];
    this.queue = [];
    this.shown = null;
    this.panel.hidden = true;
  }

  async work() {
    this.running += 1;
    for (let item = this.queue.shift(); item; item = this.queue.shift()) {
      try {
        item.answer = await identifyPhoto(item.photo, item.control.signal);
      } catch (error) {
        item.error = error;
        item.failure = describeFailure(error);
      }
      if (!item.control.signal.aborted) this.update(item);
    }
    this.running -= 1;
  }

  /** @param {Item} item */
  update(item) {
    this.draw();
    if (item === this.shown) this.show(item);
  }

  draw() {
    const done = this.items.filter((item) => item.answer || item.failure).length;
    const all = count(this.items.length, "photo");
    this.progress.textContent = done < this.items.length ? `${done} of ${all} done` : all;
    // A row that has the focus keeps it.
    const focused = [...this.rows.children].findIndex((row) => row.contains(document.activeElement));
    this.rows.replaceChildren(...this.items.map((item) => this.drawRow(item)));
    if (focused >= 0) this.rows.children[focused]?.querySelector("button")?.focus({ preventScroll: true });
  }

  /** @param {Item} item */
  drawRow(item) {
    const words = item.answer ? wordVerdict(item.answer) : (item.failure?.title ?? "…");
    const current = item === this.shown ? "true" : undefined;
    return element(
      "li",
      {},
      element(
        "button",
        { type: "button", class: item.failure ? "line failed" : "line", "aria-current": current, click: () => this.select(item) },
        element("img", { src: item.url, alt: "", class: "photo" }),
        element("span", { class: "said" }, words),
        element("span", { class: "soft small clip" }, item.photo.name),
      ),
    );
  }
}
