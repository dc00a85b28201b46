/** A photo as it is, or on request as the embedder sees it. */

import { element } from "../core/element.js";
import { describeFailure } from "../core/failure.js";

/**
 * @param {HTMLImageElement} image
 * @param {() => Promise<Blob>} view fetches what the embedder sees
 * @param {string} caption
 */
export function showSight(image, view, caption) {
  const words = element("span", { class: "soft small clip" }, caption);
  const toggle = element(
    "button",
    { type: "button", class: "button quiet", "aria-pressed": "false", click: turn },
    "As the embedder sees it",
  );
  const frame = element("div", { class: "frame" }, image);
  /** @type {HTMLImageElement | null} */
  let seen = null;
  // What this browser can't show, the server may be able to.
  image.addEventListener("error", () => void turn(), { once: true });
  return element("figure", { class: "sight" }, frame, element("figcaption", {}, words, toggle));

  async function turn() {
    const isOn = toggle.getAttribute("aria-pressed") === "true";
    toggle.setAttribute("aria-pressed", String(!isOn));
    if (isOn) {
      frame.replaceChildren(image);
      words.textContent = caption;
      return;
    }
    try {
      seen ??= await draw();
      frame.replaceChildren(seen);
      words.textContent = "Fitted, and the rest filled with the photo itself";
    } catch (error) {
      toggle.setAttribute("aria-pressed", "false");
      words.textContent = describeFailure(error).title;
    }
  }

  async function draw() {
    const source = URL.createObjectURL(await view());
    const made = element("img", { class: "photo", src: source, alt: "The photo as the embedder sees it" });
    made.addEventListener("load", () => URL.revokeObjectURL(source), { once: true });
    return made;
  }
}
