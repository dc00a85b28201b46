/** Addresses within the page: `#/view/argument`. */

/**
 * @typedef {object} Place
 * @property {string} view
 * @property {string} argument
 */

/** @returns {Place} where the page is */
export function readPlace() {
  const [, view = "", ...rest] = location.hash.replace(/^#/, "").split("/");
  return { view: view || "identify", argument: decode(rest.join("/")) };
}

/**
 * @param {string} view
 * @param {string} [argument]
 * @returns {string} what a link to a place has as its href
 */
export function writePlace(view, argument = "") {
  return argument ? `#/${view}/${encodeURIComponent(argument)}` : `#/${view}`;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
