/** Whether the server can be reached: told when it can't, and noticed when it can again. */

import { element } from "./element.js";

const WATCH_EVERY_MS = 10_000;
const TRY_EVERY_MS = 1_000;

/** @type {"here" | "loading" | "gone"} */
let state = "here";
let timer = 0;

/** @type {Set<() => void>} */
const waiting = new Set();

const WORDS = {
  here: "",
  loading: "The server is starting. This page goes on by itself when it is ready.",
  gone: "The server can't be reached. This page tries again each second and goes on by itself.",
};

/** Tell that a request did not reach the server. */
export function noteGone() {
  change("gone");
}

/** Tell that the server answered that it doesn't serve yet. */
export function noteLoading() {
  change("loading");
}

/**
 * Do something once when the server is there again.
 *
 * @param {() => void} act
 */
export function whenBack(act) {
  waiting.add(act);
}

/** Begin to watch. */
export function watchConnection() {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) void look();
  });
  plan();
}

function plan() {
  window.clearTimeout(timer);
  timer = window.setTimeout(look, state === "here" ? WATCH_EVERY_MS : TRY_EVERY_MS);
}

async function look() {
  window.clearTimeout(timer);
  if (!document.hidden) {
    try {
      const ready = await fetch("/readyz", { cache: "no-store" });
      change(ready.ok ? "here" : "loading");
    } catch {
      change("gone");
    }
  }
  plan();
}

/** @param {"here" | "loading" | "gone"} next */
function change(next) {
  if (next === state) return;
  state = next;
  const banner = document.getElementById("connection");
  banner?.replaceChildren(...(WORDS[next] ? [element("p", {}, WORDS[next])] : []));
  plan();
  if (next === "here") {
    const acts = [...waiting];
    waiting.clear();
    for (const act of acts) act();
  }
}
