/** The map itself: one canvas that is redrawn when something moves, and only then. */

import { announce } from "../core/announcer.js";
import { element } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { Camera } from "./camera.js";
import { Drawing } from "./drawing.js";
import { listenForHands } from "./gestures.js";
import { Cells } from "./nearest.js";
import { MapPhotos, PHOTO_SIDE_PX } from "./photos.js";
import { Tip } from "./tip.js";

/** @typedef {import("./cloud.js").Cloud} Cloud */

const REACH_PX = 14;
const KEY_REACH_PX = 90;
const RING_PX = 12;
const SEEN_NEIGHBORS = 16;

export class Surface {
  /**
   * @param {Cloud} cloud
   * @param {(entryId: string) => void} open
   */
  constructor(cloud, open) {
    this.cloud = cloud;
    this.open = open;
    this.cells = new Cells(cloud);
    /** @type {Set<number>} */
    this.hidden = new Set();
    /** @type {import("./asked.js").Asked | null} */
    this.asked = null;
    this.focused = -1;
    /** @type {[number, number] | null} */
    this.pointer = null;
    this.frame = 0;
    this.camera = new Camera();
    this.tip = new Tip();
    this.pin = element("div", { class: "pin", hidden: true });
    this.photos = new MapPhotos(() => this.redraw());
    this.canvas = element("canvas", {
      tabindex: "0",
      role: "application",
      "aria-roledescription": "map",
      "aria-label": `Map of ${cloud.size} photos. Arrow keys move it, plus and minus zoom, Enter opens the photo in the middle, 0 shows everything.`,
    });
    this.drawing = new Drawing(this.canvas);
    this.stage = element("div", { class: "surface" }, this.canvas, this.pin, this.tip.panel);
    listenForHands(this.canvas, this.makeHands());
    this.canvas.addEventListener("blur", () => this.focus(-1));
    const gone = new AbortController();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw(), { signal: gone.signal });
    const watched = new ResizeObserver(() => this.resize());
    watched.observe(this.stage);
    /** Let go of what would hold this map after another took its place. */
    this.close = () => {
      gone.abort();
      watched.disconnect();
    };
  }

  /** @returns {import("./gestures.js").Hands} */
  makeHands() {
    return {
      pan: (across, down) => this.move(() => this.camera.pan(across, down)),
      zoom: (factor, across, down) => this.move(() => this.camera.zoom(factor, across, down)),
      hover: (across, down) => {
        this.pointer = [across, down];
        this.focus(this.find(across, down, REACH_PX));
      },
      leave: () => {
        this.pointer = null;
        this.focus(-1);
      },
      tap: (across, down, byTouch) => {
        const found = this.find(across, down, byTouch ? REACH_PX * 1.6 : REACH_PX);
        // A finger can't hover: the first tap shows, the second opens.
        if (found >= 0 && (!byTouch || found === this.focused)) this.open(this.cloud.entryId(found));
        else this.focus(found);
      },
      press: (key) => {
        if (key === "0") this.move(() => this.camera.fit());
        else if (key === "Enter" && this.focused >= 0) this.open(this.cloud.entryId(this.focused));
        else if (key === "Escape" && this.focused >= 0) this.focus(-1);
        else return false;
        return true;
      },
    };
  }

  /** @param {() => void} act moves the camera */
  move(act) {
    act();
    const byKeys = this.canvas.matches(":focus-visible");
    if (byKeys) this.focus(this.find(this.camera.width / 2, this.camera.height / 2, KEY_REACH_PX));
    else this.focus(this.pointer ? this.find(...this.pointer, REACH_PX) : -1);
    if (byKeys && this.focused >= 0) announce(`${this.nameOf(this.focused)} in the middle`);
    this.redraw();
  }

  /** @param {number} place */
  nameOf(place) {
    return nameFamily(this.cloud.families[this.cloud.family[place] ?? 0] ?? "");
  }

  /**
   * @param {number} across
   * @param {number} down
   * @param {number} reach in CSS pixels
   */
  find(across, down, reach) {
    const { camera, cloud, hidden } = this;
    const x = camera.x + (across - camera.width / 2) / camera.scale;
    const y = camera.y - (down - camera.height / 2) / camera.scale;
    return this.cells.find(x, y, reach / camera.scale, (place) => !hidden.has(cloud.family[place] ?? 0));
  }

  /** @param {number} place */
  focus(place) {
    if (place !== this.focused) this.redraw();
    this.focused = place;
    this.canvas.classList.toggle("pointing", place >= 0);
    if (place < 0) this.tip.hide();
    else this.pointTip();
  }

  pointTip() {
    const { cloud, camera, focused } = this;
    const family = cloud.families[cloud.family[focused] ?? 0] ?? "";
    this.tip.show(cloud.entryId(focused), family, camera.across(cloud.x[focused] ?? 0), camera.down(cloud.y[focused] ?? 0));
  }

  /** @param {import("./asked.js").Asked | null} asked */
  showAsked(asked) {
    this.asked = asked;
    this.pin.hidden = !asked;
    if (asked) {
      const image = asked.thumbnail();
      image.alt = "";
      this.pin.replaceChildren(image, element("p", {}, asked.words));
    }
    this.redraw();
  }

  /**
   * Come as close to a point as its nearest entries allow.
   *
   * @param {number} x
   * @param {number} y
   */
  lookAt(x, y) {
    const { cloud, camera } = this;
    const distances = cloud.x.map((one, place) => Math.hypot(one - x, (cloud.y[place] ?? 0) - y)).sort();
    const reach = distances[Math.min(SEEN_NEIGHBORS, cloud.size) - 1] ?? 1;
    camera.look(x, y, 0.8 / Math.max(reach, 0.002));
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    this.camera.resize(width, height);
    this.drawing.resize(width, height);
    this.redraw();
  }

  redraw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { camera, cloud, drawing, focused, asked } = this;
    drawing.draw(cloud, camera, this.hidden);
    drawing.photos(this.photos.choose(cloud, camera, this.hidden), PHOTO_SIDE_PX);
    if (focused >= 0) drawing.ring(camera.across(cloud.x[focused] ?? 0), camera.down(cloud.y[focused] ?? 0), RING_PX);
    if (!asked) return;
    const across = camera.across(asked.x);
    const down = camera.down(asked.y);
    drawing.ring(across, down, RING_PX);
    this.pin.classList.toggle("leftwards", across > camera.width / 2);
    this.pin.classList.toggle("downwards", down < camera.height / 3);
    this.pin.style.transform = `translate(${Math.round(across)}px, ${Math.round(down)}px)`;
  }
}
