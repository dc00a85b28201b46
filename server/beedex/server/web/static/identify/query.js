/** Asking the server what is on a photo. */

import { ApiError, ask, askJson } from "../core/api.js";
import { learnFamilies } from "../core/marker.js";
import { shrink } from "./shrinking.js";

/** @typedef {import("../core/api.js").Answer} Answer */

const NEIGHBORS = 12;
const MOST_WAITS = 8;
const LONGEST_WAIT_S = 10;

/**
 * @param {Blob} photo
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer>}
 */
export async function identifyPhoto(photo, signal) {
  const smaller = await shrink(photo);
  const type = typeOf(smaller);
  return waitForTurn(() => identify({ body: smaller, type, signal }));
}

/**
 * @param {string} entryId
 * @returns {Promise<Answer>}
 */
export async function identifyEntry(entryId) {
  return waitForTurn(() => identify({ body: JSON.stringify({ entry_id: entryId }), type: "application/json" }));
}

/**
 * @param {Blob} photo
 * @returns {Promise<Blob>} a PNG of what the embedder sees
 */
export async function viewPhoto(photo) {
  const smaller = await shrink(photo);
  return (await ask("/v1/view", { method: "POST", body: smaller, type: typeOf(smaller) })).blob();
}

/** @param {string} entryId */
export async function viewEntry(entryId) {
  const body = JSON.stringify({ entry_id: entryId });
  return (await ask("/v1/view", { method: "POST", body, type: "application/json" })).blob();
}

/** @param {{body: BodyInit, type: string, signal?: AbortSignal}} request */
async function identify(request) {
  const answer = /** @type {Answer} */ (await askJson(`/v1/identify?k=${NEIGHBORS}`, { method: "POST", ...request }));
  learnFamilies(answer.families.map((score) => score.family));
  return answer;
}

/**
 * Ask again as long as the server is busy and says when to come back.
 *
 * @template T
 * @param {() => Promise<T>} attempt
 * @returns {Promise<T>}
 */
async function waitForTurn(attempt) {
  for (let waits = 0; ; waits += 1) {
    try {
      return await attempt();
    } catch (error) {
      const wait = error instanceof ApiError && error.status === 429 ? error.refusal.retry_after_s : null;
      if (wait === null || waits === MOST_WAITS) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.min(wait, LONGEST_WAIT_S) * 1000));
    }
  }
}

/** @param {Blob} photo */
function typeOf(photo) {
  return photo.type.startsWith("image/") ? photo.type : "application/octet-stream";
}
