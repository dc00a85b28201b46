/** Ways in for photos: dropped anywhere, pasted, picked, or taken with the camera. */

import { element } from "../core/element.js";

/**
 * @param {(photos: File[]) => void} take
 * @returns {{panel: HTMLElement, setSlim: (isSlim: boolean) => void}} slim once there is something to look at
 */
export function makeIntake(take) {
  const picked = makeInput({ multiple: true }, take);
  const taken = makeInput({ capture: "environment" }, take);
  const panel = element(
    "section",
    { class: "intake", "aria-label": "Photos" },
    element("img", { class: "cell", src: "/mark.svg", alt: "" }),
    element(
      "p",
      { class: "invitation" },
      element("span", { class: "by-mouse" }, "Drop a photo"),
      element("span", { class: "by-touch" }, "Which bee is it?"),
    ),
    element("p", { class: "soft way by-mouse" }, "or paste one, or several at once"),
    element("p", { class: "soft way by-touch" }, "One photo, or several at once"),
    element(
      "div",
      { class: "row" },
      element("label", { class: "button strong" }, picked, "Choose photos"),
      element("label", { class: "button camera" }, taken, "Take a photo"),
    ),
  );
  listenForDrops(take);
  listenForPaste(take);
  return { panel, setSlim: (isSlim) => panel.classList.toggle("slim", isSlim) };
}

/**
 * @param {Record<string, unknown>} attributes
 * @param {(photos: File[]) => void} take
 */
function makeInput(attributes, take) {
  const input = element("input", { type: "file", accept: "image/*", class: "unseen", ...attributes });
  input.addEventListener("change", () => {
    const photos = [...(input.files ?? [])];
    // The same photo may be chosen again.
    input.value = "";
    if (photos.length) take(photos);
  });
  return input;
}

/** @param {(photos: File[]) => void} take */
function listenForDrops(take) {
  const page = document.documentElement;
  let depth = 0;
  const end = () => {
    depth = 0;
    page.classList.remove("dropping");
  };
  addEventListener("dragenter", (event) => {
    if (!holdsFiles(event.dataTransfer)) return;
    depth += 1;
    page.classList.add("dropping");
  });
  addEventListener("dragleave", () => {
    depth = Math.max(depth - 1, 0);
    if (depth === 0) end();
  });
  addEventListener("dragover", (event) => {
    if (holdsFiles(event.dataTransfer)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    const photos = [...(event.dataTransfer?.files ?? [])];
    end();
    if (!holdsFiles(event.dataTransfer)) return;
    // Otherwise the browser would leave the page to show the file.
    event.preventDefault();
    if (photos.length) take(photos);
  });
}

/** @param {(photos: File[]) => void} take */
function listenForPaste(take) {
  addEventListener("paste", (event) => {
    const photos = [...(event.clipboardData?.files ?? [])];
    if (!photos.length) return;
    event.preventDefault();
    take(photos);
  });
}

/** @param {DataTransfer | null} data */
function holdsFiles(data) {
  return data?.types.includes("Files") ?? false;
}
