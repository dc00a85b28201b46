/** A small map beside an answer: where the photo falls. */

import { element } from "../core/element.js";
import { Camera } from "./camera.js";
import { loadCloud } from "./cloud.js";
import { Drawing } from "./drawing.js";
import { noteAsked } from "./asked.js";

/**
 * @param {import("../core/api.js").Answer} answer
 * @param {{words: string, thumbnail: () => HTMLImageElement}} asked
 * @returns {HTMLElement | null} null where the snapshot has no map
 */
export function showInset(answer, { words, thumbnail }) {
  const place = answer.map;
  noteAsked(place && { ...place, words, thumbnail });
  if (!place) return null;
  const canvas = element("canvas", { class: "little", "aria-hidden": "true" });
  const figure = element(
    "section",
    { class: "inset" },
    element("h2", {}, "Where it falls"),
    element("a", { class: "opens", href: "#/map", "aria-label": "See the photo on the map" }, canvas),
    element("p", { class: "small soft" }, "Each mark is a photo of the gallery; the ring shows this one."),
  );
  const drawing = new Drawing(canvas);
  const camera = new Camera();
  let drawn = "";
  const draw = async () => {
    const { clientWidth: width, clientHeight: height } = canvas;
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    if (!width || drawn === `${width} ${height} ${dark}`) return;
    drawn = `${width} ${height} ${dark}`;
    try {
      const cloud = await loadCloud();
      drawing.resize(width, height);
      camera.resize(width, height);
      camera.fit();
      drawing.draw(cloud, camera, new Set());
      drawing.ring(camera.across(place.x), camera.down(place.y), 9);
    } catch {
      figure.hidden = true;
    }
  };
  new ResizeObserver(() => void draw()).observe(canvas);
  return figure;
}
