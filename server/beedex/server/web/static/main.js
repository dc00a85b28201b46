/** The page: which view is in front, and what begins with it. */

import { readPlace } from "./core/address.js";
import { watchConnection } from "./core/connection.js";
import { IdentifyView } from "./identify/view.js";

/**
 * @typedef {object} View
 * @property {string} title
 * @property {HTMLElement} content
 * @property {(argument: string) => Promise<void>} enter is called each time that the view comes to the front
 * @property {() => void} [leave]
 */

const identify = new IdentifyView(() => {
  location.hash = "#/identify";
});

/** @type {Record<string, () => Promise<View>>} */
const MAKERS = {
  identify: async () => identify,
  gallery: async () => new (await import("./gallery/view.js")).GalleryView(),
  entry: async () => new (await import("./gallery/entry.js")).EntryView(),
  map: async () => new (await import("./map/view.js")).MapView(),
  state: async () => new (await import("./state/view.js")).StateView(),
};

/** @type {Map<string, View>} */
const made = new Map();

/** @type {View | null} */
let front = null;

/** @param {string} name of one of MAKERS */
async function takeView(name) {
  const view = made.get(name) ?? (await /** @type {() => Promise<View>} */ (MAKERS[name])());
  made.set(name, view);
  return view;
}

/** How far down each address was, for whoever comes back to it. @type {Map<string, number>} */
const depths = new Map();

let isForward = false;

let turn = 0;

/** @param {boolean} isFirst */
async function show(isFirst) {
  const { view: wanted, argument } = readPlace();
  // Whatever people type; every object has a "constructor".
  const name = Object.hasOwn(MAKERS, wanted) ? wanted : "identify";
  const own = (turn += 1);
  const view = await takeView(name);
  // Whoever went on while the view was fetched wants the other one.
  if (own !== turn) return;
  const main = /** @type {HTMLElement} */ (document.getElementById("main"));
  const depth = isForward ? 0 : (depths.get(location.hash) ?? 0);
  isForward = false;
  if (view !== front) {
    front?.leave?.();
    front = view;
    document.body.dataset.view = name;
    main.replaceChildren(view.content);
    markCurrent(name === "entry" ? "gallery" : name);
  }
  const entered = view.enter(argument);
  document.title = `${view.title} · beedex`;
  if (!isFirst) scrollTo(0, depth);
  await entered;
  if (own !== turn) return;
  document.title = `${view.title} · beedex`;
  if (isFirst) return;
  scrollTo(0, depth);
  // Whoever hears the page begins at the new view; whoever moves along the navigation stays there.
  if (!document.activeElement?.closest("nav")) view.content.querySelector("h1")?.focus({ preventScroll: true });
}

/** @param {string} name */
function markCurrent(name) {
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** @param {MouseEvent} event */
function followLink(event) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (link?.classList.contains("skip")) {
    event.preventDefault();
    document.getElementById("main")?.focus();
  }
  isForward = link?.getAttribute("href")?.startsWith("#/") ?? false;
}

document.addEventListener("click", followLink, { capture: true });
addEventListener("scroll", () => depths.set(location.hash, scrollY), { passive: true });
addEventListener("hashchange", () => void show(false));
watchConnection();
void show(true);
