/** All photos of the gallery in two dimensions: what lies close looks alike to the embedder. */

import { ApiError } from "../core/api.js";
import { writePlace } from "../core/address.js";
import { button, element } from "../core/element.js";
import { showFailure } from "../core/failure.js";
import { count } from "../core/figures.js";
import { readAsked } from "./asked.js";
import { loadCloud } from "./cloud.js";
import { makeLegend } from "./legend.js";
import { Surface } from "./surface.js";

export class MapView {
  constructor() {
    this.title = "Map";
    this.content = element("div", { class: "map" });
    this.mine = button("Yours", () => this.lookAtAsked(), { "aria-label": "Yours: the photo that you asked about" });
    /** @type {Surface | null} */
    this.surface = null;
  }

  async enter() {
    try {
      const cloud = await loadCloud();
      if (this.surface?.cloud !== cloud) this.build(cloud);
      this.surface?.showAsked(readAsked());
      this.mine.hidden = !readAsked();
    } catch (error) {
      this.surface?.close();
      this.surface = null;
      this.content.replaceChildren(
        element("h1", { tabindex: "-1" }, "Map"),
        error instanceof ApiError && error.refusal.reason === "MAP_MISSING" ? tellMissing() : showFailure(error, () => void this.enter()),
      );
    }
  }

  /** @param {import("./cloud.js").Cloud} cloud */
  build(cloud) {
    const surface = new Surface(cloud, (entryId) => {
      location.hash = writePlace("entry", entryId);
    });
    this.surface?.close();
    this.surface = surface;
    this.content.replaceChildren(
      element(
        "header",
        { class: "over" },
        element("h1", { tabindex: "-1" }, "Map"),
        element("p", { class: "soft small" }, `${count(cloud.size, "photo")}; what lies close looks alike to the embedder`),
      ),
      surface.stage,
      element(
        "div",
        { class: "tools" },
        button("+", () => this.act(() => surface.camera.zoom(1.5)), { "aria-label": "Zoom in" }),
        button("−", () => this.act(() => surface.camera.zoom(1 / 1.5)), { "aria-label": "Zoom out" }),
        button("All", () => this.act(() => surface.camera.fit()), { "aria-label": "All photos" }),
        this.mine,
      ),
      makeLegend(cloud, surface.hidden, () => surface.redraw()),
    );
  }

  /** @param {() => void} act */
  act(act) {
    act();
    this.surface?.focus(-1);
    this.surface?.redraw();
  }

  lookAtAsked() {
    const asked = readAsked();
    if (asked) this.act(() => this.surface?.lookAt(asked.x, asked.y));
  }
}

function tellMissing() {
  return element(
    "div",
    { class: "failure" },
    element("h2", {}, "This gallery has no map yet"),
    element("p", {}, "Whoever runs the server can make one by building the index again: ", element("code", {}, "beedex index build"), "."),
  );
}
