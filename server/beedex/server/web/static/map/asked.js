/** What was asked last, so that the map can show where it falls. */

/**
 * @typedef {object} Asked
 * @property {number} x
 * @property {number} y
 * @property {string} words the verdict
 * @property {() => HTMLImageElement} thumbnail
 */

/** @type {Asked | null} */
let last = null;

/** @param {Asked | null} asked */
export function noteAsked(asked) {
  last = asked;
}

export function readAsked() {
  return last;
}
