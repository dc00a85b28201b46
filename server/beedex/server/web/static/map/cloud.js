/** All entries of the map, in flat arrays: ten thousand objects would take longer to make than to draw. */

import { askJson } from "../core/api.js";
import { learnFamilies } from "../core/marker.js";

/**
 * @typedef {object} Cloud
 * @property {number} size
 * @property {string[]} families by name
 * @property {Uint32Array} family of each entry, a place in families
 * @property {Float32Array} x rightwards, in [-1, 1]
 * @property {Float32Array} y upwards, in the same unit
 * @property {(place: number) => string} entryId
 * @property {number} snapshot
 */

/** @type {{snapshot: number, loading: Promise<Cloud>} | null} */
let kept = null;

/**
 * Fetch the map; once, as long as the snapshot stays.
 *
 * @param {number} [snapshot] that is known to serve now; whichever was fetched, if nothing is known
 * @returns {Promise<Cloud>}
 */
export function loadCloud(snapshot) {
  if (kept && (snapshot === undefined || kept.snapshot === snapshot)) return kept.loading;
  const loading = askJson("/v1/map").then(readCloud);
  const keeping = { snapshot: snapshot ?? 0, loading };
  kept = keeping;
  loading.then(
    (cloud) => (keeping.snapshot = cloud.snapshot),
    () => kept === keeping && (kept = null),
  );
  return loading;
}

/**
 * @param {any} reply
 * @returns {Cloud}
 */
export function readCloud(reply) {
  learnFamilies(reply.families);
  const family = new Uint32Array(readBytes(reply.family_index).buffer);
  const ids = readBytes(reply.ids);
  return {
    size: family.length,
    families: reply.families,
    family,
    x: new Float32Array(readBytes(reply.x).buffer),
    y: new Float32Array(readBytes(reply.y).buffer),
    entryId: (place) => hex(ids.subarray(place * 8, place * 8 + 8)),
    snapshot: reply.snapshot,
  };
}

/** @param {string} text base64 */
function readBytes(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < binary.length; place += 1) bytes[place] = binary.charCodeAt(place);
  return bytes;
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
