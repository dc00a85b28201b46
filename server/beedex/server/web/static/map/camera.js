/** What part of the map is seen: its middle and how many CSS pixels a unit takes. */

const MARGIN_PX = 36;
const CLOSEST = 400;

export class Camera {
  constructor() {
    this.x = 0;
    this.y = 0;
    this.scale = 1;
    this.width = 1;
    this.height = 1;
  }

  /** The scale at which everything is seen. */
  get whole() {
    return Math.max(Math.min(this.width, this.height) / 2 - MARGIN_PX, 20);
  }

  /** How many times closer than that it is. */
  get closeness() {
    return this.scale / this.whole;
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  resize(width, height) {
    const closeness = this.width > 1 ? this.closeness : 1;
    this.width = width;
    this.height = height;
    this.scale = this.whole * closeness;
  }

  fit() {
    this.x = 0;
    this.y = 0;
    this.scale = this.whole;
  }

  /** @param {number} x of the map */
  across(x) {
    return (x - this.x) * this.scale + this.width / 2;
  }

  /** @param {number} y of the map, upwards */
  down(y) {
    return (this.y - y) * this.scale + this.height / 2;
  }

  /**
   * @param {number} across in CSS pixels
   * @param {number} down
   */
  pan(across, down) {
    this.x = bound(this.x - across / this.scale, 1.2);
    this.y = bound(this.y + down / this.scale, 1.2);
  }

  /**
   * Come closer; what is at a point stays there.
   *
   * @param {number} factor
   * @param {number} [across]
   * @param {number} [down]
   */
  zoom(factor, across = this.width / 2, down = this.height / 2) {
    const scale = Math.min(Math.max(this.scale * factor, this.whole * 0.6), this.whole * CLOSEST);
    const right = across - this.width / 2;
    const under = down - this.height / 2;
    this.x = bound(this.x + right / this.scale - right / scale, 1.2);
    this.y = bound(this.y - under / this.scale + under / scale, 1.2);
    this.scale = scale;
  }

  /**
   * Put a point into the middle.
   *
   * @param {number} x
   * @param {number} y
   * @param {number} closeness
   */
  look(x, y, closeness) {
    this.x = x;
    this.y = y;
    this.scale = this.whole * Math.min(Math.max(closeness, 1), CLOSEST);
  }
}

/**
 * @param {number} value
 * @param {number} most
 */
function bound(value, most) {
  return Math.min(Math.max(value, -most), most);
}
