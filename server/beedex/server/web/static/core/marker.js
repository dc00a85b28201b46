/**
 * A family's mark, the same wherever it appears: a colour and a shape, so that nobody has to tell colours apart.
 *
 * Each time the colours are used up the shapes move on by one: 48 families have marks of their own.
 */

export const SHAPES = /** @type {const} */ (["circle", "square", "triangle", "diamond", "cross", "drop"]);

export const LIGHT = ["#c77700", "#1f6fb4", "#12805c", "#b83a6b", "#5a3d9a", "#3aa5d1", "#7a4a1e", "#5f6670"];
export const DARK = ["#ffb52e", "#5b9df0", "#3fc79a", "#f07aa8", "#a98bf0", "#8fdcff", "#c99a6a", "#c0c6cf"];

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {{colour: string, shape: (typeof SHAPES)[number]}} Mark */

/** Place of each family among all that are known. @type {Map<string, number>} */
let places = new Map();

/**
 * Learn which families there are, so that each keeps its mark.
 *
 * @param {string[]} names
 */
export function learnFamilies(names) {
  const known = [...new Set([...places.keys(), ...names])].sort();
  places = new Map(known.map((name, place) => [name, place]));
}

/**
 * @param {number} place of the family among all, in the order of their names
 * @param {boolean} isDark
 * @returns {Mark}
 */
export function chooseMark(place, isDark) {
  const colours = isDark ? DARK : LIGHT;
  const round = Math.floor(place / colours.length);
  return {
    colour: /** @type {string} */ (colours[place % colours.length]),
    shape: /** @type {Mark["shape"]} */ (SHAPES[((place % colours.length) + round) % SHAPES.length]),
  };
}

/**
 * @param {string} family
 * @param {boolean} [dark] whether the page is
 */
export function markOf(family, dark = isDark()) {
  return chooseMark(places.get(family) ?? 0, dark);
}

export function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/**
 * The corners and curves of a shape around (0, 0), of about the same area as a circle of *radius*.
 *
 * @param {Mark["shape"]} shape
 * @param {number} r radius
 * @returns {string} an SVG path, which a Path2D takes too
 */
export function outline(shape, r) {
  const points = (/** @type {number[][]} */ corners) => `M${corners.map((c) => c.map((v) => v * r).join(" ")).join("L")}Z`;
  const third = 0.42;
  switch (shape) {
    case "circle":
      return `M${-r} 0A${r} ${r} 0 1 1 ${r} 0A${r} ${r} 0 1 1 ${-r} 0Z`;
    case "square":
      return points([[-0.88, -0.88], [0.88, -0.88], [0.88, 0.88], [-0.88, 0.88]]);
    case "triangle":
      return points([[0, -1.2], [1.2, 0.9], [-1.2, 0.9]]);
    case "drop":
      return points([[0, 1.2], [1.2, -0.9], [-1.2, -0.9]]);
    case "diamond":
      return points([[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]]);
    case "cross":
      return points([
        [-third, -1.15], [third, -1.15], [third, -third], [1.15, -third], [1.15, third], [third, third],
        [third, 1.15], [-third, 1.15], [-third, third], [-1.15, third], [-1.15, -third], [-third, -third],
      ]);
  }
}

/**
 * A family's mark as a small picture, beside its name and so without words of its own.
 *
 * @param {string} family
 * @returns {SVGSVGElement}
 */
export function drawMark(family) {
  const mark = markOf(family);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "-7 -7 14 14");
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", outline(mark.shape, 5));
  path.setAttribute("fill", mark.colour);
  svg.append(path);
  return svg;
}
