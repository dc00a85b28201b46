/** Photos of entries. With a token they are fetched, since an <img> sends none; without, the browser does it all. */

import { ask } from "./api.js";
import { element } from "./element.js";
import { readToken } from "./token.js";

/** @type {WeakMap<Element, string>} */
const wanted = new WeakMap();

const seen = new IntersectionObserver(
  (changes) => {
    for (const { isIntersecting, target } of changes) {
      if (!isIntersecting || !(target instanceof HTMLImageElement)) continue;
      seen.unobserve(target);
      void fetchInto(target, wanted.get(target) ?? "");
    }
  },
  { rootMargin: "200px" },
);

/**
 * An entry's photo.
 *
 * @param {string} entryId
 * @param {{size: number, alt: string, atOnce?: boolean}} how size is the longer side in CSS pixels; at once for an image
 *   that isn't put into the page
 * @returns {HTMLImageElement}
 */
export function picture(entryId, { size, alt, atOnce = false }) {
  const image = element("img", { alt, class: "photo", decoding: "async" });
  image.addEventListener("error", () => image.classList.add("missing"));
  const url = photoUrl(entryId, size);
  if (readToken() && atOnce) {
    void fetchInto(image, url);
  } else if (readToken()) {
    wanted.set(image, url);
    seen.observe(image);
  } else {
    image.loading = atOnce ? "eager" : "lazy";
    image.src = url;
  }
  return image;
}

/**
 * @param {string} entryId
 * @param {number} size
 */
export function photoUrl(entryId, size) {
  // Few sizes, so that the server's cache and the browser's have them again.
  const sharp = size * Math.min(devicePixelRatio, 2);
  const side = [96, 256, 512, 1024].find((one) => one >= sharp) ?? 1024;
  return `/v1/photos/${entryId}?size=${side}`;
}

/**
 * @param {HTMLImageElement} image
 * @param {string} url
 */
async function fetchInto(image, url) {
  try {
    const blob = await (await ask(url)).blob();
    const source = URL.createObjectURL(blob);
    image.addEventListener("load", () => URL.revokeObjectURL(source), { once: true });
    image.src = source;
  } catch {
    image.classList.add("missing");
  }
}
