/** The map's picture. Each family's mark is drawn once and stamped from then on. */

import { isDark, markOf, outline } from "../core/marker.js";

/** @typedef {import("./cloud.js").Cloud} Cloud */
/** @typedef {import("./camera.js").Camera} Camera */

/** Beyond so many, marks are drawn smaller. */
const MANY = 3_000;

const WALL_PX = 2_400;

/** Of marks whose middles share a square of so many CSS pixels, one is drawn: it would hide the others. */
const CELL_PX = 2;

/**
 * @param {import("../core/marker.js").Mark[]} marks of the families
 * @param {boolean} dark whether the page is
 * @param {number} sharpness device pixels of a CSS pixel
 * @param {number} radius of a mark in CSS pixels
 * @returns {ImageBitmap[]} one for each family; a canvas would be copied each time that it is stamped
 */
function drawStamps(marks, dark, sharpness, radius) {
  const side = Math.ceil((radius * 1.35 + 1) * 2 * sharpness);
  return marks.map((mark) => {
    const canvas = new OffscreenCanvas(side, side);
    const drawing = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
    drawing.translate(side / 2, side / 2);
    drawing.scale(sharpness, sharpness);
    const shape = new Path2D(outline(mark.shape, radius));
    drawing.fillStyle = mark.colour;
    drawing.fill(shape);
    drawing.strokeStyle = dark ? "#15120d" : "#fbfaf7";
    drawing.lineWidth = 0.75;
    drawing.stroke(shape);
    return canvas.transferToImageBitmap();
  });
}

export class Drawing {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.sharpness = 1;
    /** @type {ImageBitmap[]} */
    this.stamps = [];
    this.stampedFor = "";
    this.cells = new Int32Array(0);
    this.turn = 0;
  }

  /**
   * @param {number} width in CSS pixels
   * @param {number} height
   */
  resize(width, height) {
    this.sharpness = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(width * this.sharpness);
    this.canvas.height = Math.round(height * this.sharpness);
    this.cells = new Int32Array(Math.ceil(width / CELL_PX + 16) * Math.ceil(height / CELL_PX + 16));
    this.turn = 0;
  }

  /**
   * @param {Cloud} cloud
   * @param {Camera} camera
   * @param {Set<number>} hidden families
   */
  draw(cloud, camera, hidden) {
    const { context, sharpness } = this;
    const stamps = this.stampsFor(cloud, camera);
    const half = (stamps[0]?.width ?? 0) / 2;
    const { width, height } = this.canvas;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const scale = camera.scale * sharpness;
    const left = width / 2 - camera.x * scale - half;
    const top = height / 2 + camera.y * scale - half;
    const { x, y, family, size } = cloud;
    const { cells } = this;
    const cell = CELL_PX * sharpness;
    const columns = Math.ceil(width / cell + 16);
    // What was taken in an earlier turn is free again, without the cells being cleared.
    this.turn += 1;
    for (let place = 0; place < size; place += 1) {
      const across = left + /** @type {number} */ (x[place]) * scale;
      const down = top - /** @type {number} */ (y[place]) * scale;
      if (across < -2 * half || down < -2 * half || across > width || down > height) continue;
      const own = /** @type {number} */ (family[place]);
      if (hidden.has(own)) continue;
      const taken = Math.floor((down + 2 * half) / cell) * columns + Math.floor((across + 2 * half) / cell);
      if (cells[taken] === this.turn) continue;
      cells[taken] = this.turn;
      // Whole pixels: a stamp that needs no smoothing is copied.
      context.drawImage(/** @type {ImageBitmap} */ (stamps[own]), Math.round(across), Math.round(down));
    }
    context.setTransform(sharpness, 0, 0, sharpness, 0, 0);
  }

  /**
   * Draw a ring around a place.
   *
   * @param {number} across in CSS pixels
   * @param {number} down
   * @param {number} radius
   */
  ring(across, down, radius) {
    const { context } = this;
    const dark = isDark();
    for (const [line, colour] of /** @type {[number, string][]} */ ([
      [5, dark ? "#15120d" : "#fbfaf7"],
      [2.5, dark ? "#fff3d6" : "#211b12"],
    ])) {
      context.beginPath();
      context.arc(across, down, radius, 0, Math.PI * 2);
      context.lineWidth = line;
      context.strokeStyle = colour;
      context.stroke();
    }
  }

  /**
   * Draw photos in the place of marks.
   *
   * @param {{across: number, down: number, image: HTMLImageElement, colour: string}[]} photos
   * @param {number} side in CSS pixels
   */
  photos(photos, side) {
    const { context } = this;
    for (const { across, down, image, colour } of photos) {
      const least = Math.min(image.naturalWidth, image.naturalHeight);
      context.drawImage(
        image,
        (image.naturalWidth - least) / 2, (image.naturalHeight - least) / 2, least, least,
        across - side / 2, down - side / 2, side, side,
      );
      context.lineWidth = 3;
      context.strokeStyle = colour;
      context.strokeRect(across - side / 2, down - side / 2, side, side);
    }
  }

  /**
   * @param {Cloud} cloud
   * @param {Camera} camera
   */
  stampsFor(cloud, camera) {
    // A wall display is looked at from further away.
    const small = (cloud.size > MANY ? 3 : 5) * (camera.width > WALL_PX ? 1.6 : 1);
    const radius = Math.min(small * Math.max(camera.closeness, 1) ** 0.35, Math.max(small, 9));
    const rounded = Math.round(radius * 2) / 2;
    const dark = isDark();
    // A family's mark is another one once more families are known.
    const marks = cloud.families.map((family) => markOf(family, dark));
    const wanted = JSON.stringify([marks, dark, rounded, this.sharpness]);
    if (wanted !== this.stampedFor) {
      this.stamps = drawStamps(marks, dark, this.sharpness, rounded);
      this.stampedFor = wanted;
    }
    return this.stamps;
  }
}
