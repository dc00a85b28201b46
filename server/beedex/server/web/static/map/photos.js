/** Photos in the place of marks, as many as there is room for, once one is close enough to see them apart. */

import { isDark, markOf } from "../core/marker.js";
import { picture } from "../core/picture.js";

/** @typedef {import("./cloud.js").Cloud} Cloud */
/** @typedef {{across: number, down: number, image: HTMLImageElement, colour: string}} Shown */

const MOST = 150;
/** Kept for whoever moves back; beyond, the browser's own cache has them, and decodes them again. */
const MOST_KEPT = 4 * MOST;

const LEAST_CLOSENESS = 2;
export const PHOTO_SIDE_PX = 56;
const APART_PX = PHOTO_SIDE_PX + 6;

export class MapPhotos {
  /** @param {() => void} changed is told when another photo is there */
  constructor(changed) {
    this.changed = changed;
    /** @type {Map<string, HTMLImageElement>} */
    this.images = new Map();
  }

  /**
   * @param {Cloud} cloud
   * @param {import("./camera.js").Camera} camera
   * @param {Set<number>} hidden families
   * @returns {Shown[]} what to draw
   */
  choose(cloud, camera, hidden) {
    if (camera.closeness < LEAST_CLOSENESS) return [];
    const room = new Room();
    const dark = isDark();
    /** @type {Shown[]} */
    const shown = [];
    // Always in the same order, so that a photo stays as long as there is room for it.
    for (let place = 0; place < cloud.size && room.taken.size < MOST; place += 1) {
      const own = /** @type {number} */ (cloud.family[place]);
      const across = camera.across(/** @type {number} */ (cloud.x[place]));
      const down = camera.down(/** @type {number} */ (cloud.y[place]));
      const isInSight = across > 0 && down > 0 && across < camera.width && down < camera.height;
      if (!isInSight || hidden.has(own) || !room.take(across, down)) continue;
      const image = this.fetch(cloud.entryId(place));
      const { colour } = markOf(cloud.families[own] ?? "", dark);
      if (image.complete && image.naturalWidth) shown.push({ across, down, image, colour });
    }
    return shown;
  }

  /** @param {string} entryId */
  fetch(entryId) {
    let image = this.images.get(entryId);
    if (!image) {
      image = picture(entryId, { size: 96, alt: "", atOnce: true });
      image.addEventListener("load", this.changed);
    }
    // Those least recently wanted are first.
    this.images.delete(entryId);
    this.images.set(entryId, image);
    for (const old of this.images.keys()) {
      if (this.images.size <= MOST_KEPT) break;
      this.images.delete(old);
    }
    return image;
  }
}

/** Where photos lie already, by cells of a photo's width: only the cells around a place need looking at. */
class Room {
  constructor() {
    /** @type {Map<number, [number, number]>} */
    this.taken = new Map();
  }

  /**
   * @param {number} across
   * @param {number} down
   * @returns {boolean} whether there was room
   */
  take(across, down) {
    const column = Math.floor(across / APART_PX);
    const row = Math.floor(down / APART_PX);
    for (let under = row - 1; under <= row + 1; under += 1) {
      for (let right = column - 1; right <= column + 1; right += 1) {
        const other = this.taken.get(under * 10_000 + right);
        if (other && Math.abs(other[0] - across) < APART_PX && Math.abs(other[1] - down) < APART_PX) return false;
      }
    }
    this.taken.set(row * 10_000 + column, [across, down]);
    return true;
  }
}
