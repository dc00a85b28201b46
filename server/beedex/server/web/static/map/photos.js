/** Photos in the place of marks, where few enough are in sight. */

import { chooseMark, isDark } from "../core/marker.js";
import { picture } from "../core/picture.js";

/** @typedef {import("./cloud.js").Cloud} Cloud */

const MOST = 60;
const LEAST_CLOSENESS = 2.5;
export const PHOTO_SIDE_PX = 52;

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
   * @param {Set<number>} hidden
   * @returns {{across: number, down: number, image: HTMLImageElement, colour: string}[]} what to draw
   */
  choose(cloud, camera, hidden) {
    if (camera.closeness < LEAST_CLOSENESS) return [];
    const places = listInSight(cloud, camera, hidden);
    if (places.length > MOST) return [];
    const dark = isDark();
    return places.flatMap((place) => {
      const image = this.fetch(cloud.entryId(place));
      if (!image.complete || !image.naturalWidth) return [];
      const colour = chooseMark(cloud.family[place] ?? 0, dark).colour;
      return [{ across: camera.across(cloud.x[place] ?? 0), down: camera.down(cloud.y[place] ?? 0), image, colour }];
    });
  }

  /** @param {string} entryId */
  fetch(entryId) {
    let image = this.images.get(entryId);
    if (!image) {
      image = picture(entryId, { size: 96, alt: "", atOnce: true });
      image.addEventListener("load", this.changed);
      this.images.set(entryId, image);
    }
    return image;
  }
}

/**
 * @param {Cloud} cloud
 * @param {import("./camera.js").Camera} camera
 * @param {Set<number>} hidden
 */
function listInSight(cloud, camera, hidden) {
  const places = [];
  for (let place = 0; place < cloud.size && places.length <= MOST; place += 1) {
    const across = camera.across(cloud.x[place] ?? 0);
    const down = camera.down(cloud.y[place] ?? 0);
    const isInSight = across > 0 && down > 0 && across < camera.width && down < camera.height;
    if (isInSight && !hidden.has(cloud.family[place] ?? 0)) places.push(place);
  }
  return places;
}
