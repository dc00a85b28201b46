/** One family's photos, page by page. */

import { askJson } from "../core/api.js";
import { button, element } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { describeFailure } from "../core/failure.js";
import { count } from "../core/figures.js";
import { appendToGrid } from "../core/neighbors.js";
import { announce } from "../core/announcer.js";

const PAGE = 48;

/** @param {string} family */
export async function showFamily(family) {
  /** @type {import("../core/api.js").Entry[]} */
  const all = [];
  let cursor = "";
  const list = element("ol", { class: "grid", "aria-label": `Photos of ${nameFamily(family)}` });
  const said = element("p", { class: "soft small", role: "status" });
  const more = button("More", () => void turn());
  const total = await turnPage();
  return [
    element(
      "header",
      { class: "heading" },
      element("p", { class: "trail" }, element("a", { href: "#/gallery" }, "Gallery")),
      element("h1", { tabindex: "-1" }, nameFamily(family)),
      element("p", { class: "soft" }, total ? count(total, "photo") : "There is no such family in the gallery."),
    ),
    list,
    element("div", { class: "row middle" }, more, said),
  ];

  async function turn() {
    more.disabled = true;
    try {
      await turnPage();
      announce(`${count(all.length, "photo")} shown`);
    } catch (error) {
      said.textContent = describeFailure(error).title;
    } finally {
      more.disabled = false;
    }
  }

  async function turnPage() {
    const query = new URLSearchParams({ family, limit: String(PAGE), ...(cursor && { cursor }) });
    const page = await askJson(`/v1/entries?${query}`);
    const start = all.length;
    all.push(...page.entries);
    appendToGrid(list, page.entries, start, all);
    cursor = page.next_cursor ?? "";
    more.hidden = !cursor;
    said.textContent = cursor ? `${all.length} of ${page.total}` : "";
    return /** @type {number} */ (page.total);
  }
}
