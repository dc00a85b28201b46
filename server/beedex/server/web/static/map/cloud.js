/** All entries of the map, in flat arrays: ten thousand objects would take longer to make than to draw. */

import { ask } from "../core/api.js";
import { learnFamilies } from "../core/marker.js";

/**
 * @typedef {object} Cloud
 * @property {number} size
 * @property {string[]} families by name
 * @property {Uint32Array} family of each entry, a place in families
 * @property {Float32Array} x rightwards, in [-1, 1]
 * @property {Float32Array} y upwards, in the same unit
 * @property {(place: number) => string} entryId
 */

/** @type {{tag: string, reading: Promise<Cloud>} | null} */
let kept = null;

/**
 * Return the map as it is now; the same object as long as the server's tag of it stays.
 *
 * Its snapshot's number would not do: single photos are put in and taken out without a new one.
 *
 * @returns {Promise<Cloud>}
 */
export async function loadCloud() {
  // The browser has it and asks whether it is still the same: a reply without a body.
  const reply = await ask("/v1/map");
  const tag = reply.headers.get("ETag") ?? "";
  if (tag && kept?.tag === tag) {
    void reply.body?.cancel();
    return kept.reading;
  }
  const keeping = { tag, reading: reply.json().then(readCloud) };
  kept = keeping;
  keeping.reading.catch(() => kept === keeping && (kept = null));
  return keeping.reading;
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
