/** What went wrong and what to do, in words for whoever dropped the photo. */

import { ApiError, ServerGoneError } from "./api.js";
import { whenBack } from "./connection.js";
import { button, element } from "./element.js";

/** @typedef {{title: string, advice: string, canRetry: boolean}} Failure */

/** @type {Record<string, [string, string]>} */
const BY_REASON = {
  EMPTY: ["The file is empty", "Choose another one."],
  NOT_A_PHOTO: ["This file isn't a photo", "Use a JPEG, PNG or WebP file, which every phone and camera can save."],
  UNSUPPORTED_FORMAT: ["This kind of image can't be read", "Save it as JPEG, PNG or WebP, and drop that."],
  DAMAGED: ["The photo is damaged", "Copy it again from the camera or phone."],
  UNREADABLE: ["The photo can't be read", "Copy it again from the camera or phone."],
  BODY_TOO_LARGE: ["The photo is too large", "Save a smaller copy, and drop that."],
  TOO_MANY_BYTES: ["The photo is too large", "Save a smaller copy, and drop that."],
  TOO_MANY_PIXELS: ["The photo has too many pixels", "Save a smaller copy, and drop that."],
  SIDE_TOO_LONG: ["The photo is too long", "Crop it to the bee, and drop that."],
  BODY_TOO_SLOW: ["The photo took too long to arrive", "Try again where the connection is better."],
  ENTRY_NOT_FOUND: ["There is no such photo in the gallery", "It may have been removed since. The gallery shows what there is."],
  MALFORMED_ENTRY_ID: ["There is no such photo in the gallery", "Its address should end in 16 digits and letters a to f."],
  NO_INDEX: ["The server has no gallery yet", "Whoever runs it can make one: beedex index build."],
  ROLE_MISSING: ["Your token isn't allowed to do this", "Ask whoever runs the server for another one."],
};

/**
 * @param {unknown} error
 * @returns {Failure}
 */
export function describeFailure(error) {
  if (error instanceof ServerGoneError) {
    return {
      title: "The server can't be reached",
      advice: "It is tried again by itself. If it goes on, check that beedex serve is running.",
      canRetry: true,
    };
  }
  if (!(error instanceof ApiError)) {
    return { title: "Something went wrong in this page", advice: `Load it again. It said: ${error}`, canRetry: true };
  }
  const { code, reason, message, retry_after_s: wait } = error.refusal;
  const known = BY_REASON[reason];
  if (known) return { title: known[0], advice: known[1], canRetry: false };
  if (code === "UNAUTHENTICATED") {
    return { title: "A token is needed", advice: "Try again to sign in.", canRetry: true };
  }
  if (code === "RESOURCE_EXHAUSTED") {
    const soon = wait ? `in ${Math.max(1, Math.ceil(wait))} s` : "in a moment";
    return { title: "The server is busy", advice: `Try again ${soon}.`, canRetry: true };
  }
  if (code === "DEADLINE_EXCEEDED") {
    return { title: "The answer took too long", advice: "The server is busy. Try again in a moment.", canRetry: true };
  }
  if (code === "UNAVAILABLE") {
    return { title: "The server isn't ready", advice: "It is starting or stopping. Try again in a moment.", canRetry: true };
  }
  return { title: "The server could not answer", advice: capitalise(message), canRetry: error.status >= 500 };
}

/**
 * Show a failure in the place of what was wanted.
 *
 * @param {unknown} error
 * @param {() => void} retry is also done by itself when the server is back
 */
export function showFailure(error, retry) {
  const { title, advice, canRetry } = describeFailure(error);
  const isAway = error instanceof ServerGoneError || (error instanceof ApiError && error.status === 503);
  if (isAway) whenBack(retry);
  const requestId = error instanceof ApiError ? error.refusal.request_id : "";
  return element(
    "div",
    { class: "failure", role: "alert" },
    element("h2", {}, title),
    element("p", {}, advice),
    canRetry && button("Try again", retry),
    requestId && element("p", { class: "small soft" }, "Request ", element("code", {}, requestId)),
  );
}

/** @param {string} words */
function capitalise(words) {
  const sentence = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}
