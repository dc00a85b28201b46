/** Figures as people read them. */

/** @param {number} share in [0, 1] */
export function percent(share) {
  const rounded = Math.round(share * 100);
  // Nothing that is calibrated by a few dozen photos is certain.
  if (rounded >= 100) return "over 99 %";
  if (rounded <= 0) return "under 1 %";
  return `${rounded} %`;
}

/** @param {number} similarity a cosine */
export function similar(similarity) {
  return similarity.toFixed(2);
}

/**
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** @param {number} seconds */
export function milliseconds(seconds) {
  const ms = seconds * 1000;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms).toLocaleString("en")} ms`;
}
