/** Which entry is nearest to a point, found by cells, so that ten thousand are no slower than a hundred. */

const SIDE = 64;

export class Cells {
  /** @param {import("./cloud.js").Cloud} cloud */
  constructor(cloud) {
    this.cloud = cloud;
    /** @type {Map<number, number[]>} */
    this.members = new Map();
    for (let place = 0; place < cloud.size; place += 1) {
      const cell = row(cloud.y[place] ?? 0) * SIDE + row(cloud.x[place] ?? 0);
      const members = this.members.get(cell);
      if (members) members.push(place);
      else this.members.set(cell, [place]);
    }
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} reach how far it may be, in units of the map
   * @param {(place: number) => boolean} isShown
   * @returns {number} a place in the cloud; -1 if none is within reach
   */
  find(x, y, reach, isShown) {
    let best = -1;
    let least = reach * reach;
    for (let down = row(y - reach); down <= row(y + reach); down += 1) {
      for (let right = row(x - reach); right <= row(x + reach); right += 1) {
        for (const place of this.members.get(down * SIDE + right) ?? []) {
          const across = (this.cloud.x[place] ?? 0) - x;
          const along = (this.cloud.y[place] ?? 0) - y;
          const distance = across * across + along * along;
          if (distance <= least && isShown(place)) {
            best = place;
            least = distance;
          }
        }
      }
    }
    return best;
  }
}

/** @param {number} value of the map, in [-1, 1] or a little beyond */
function row(value) {
  return Math.min(Math.max(Math.floor(((value + 1) / 2) * SIDE), 0), SIDE - 1);
}
