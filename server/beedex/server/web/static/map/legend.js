/** Which mark is which family; each can be taken off the map. */

import { element } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { drawMark } from "../core/marker.js";

/**
 * @param {import("./cloud.js").Cloud} cloud
 * @param {Set<number>} hidden is changed here
 * @param {() => void} changed
 */
export function makeLegend(cloud, hidden, changed) {
  const counts = new Array(cloud.families.length).fill(0);
  for (const own of cloud.family) counts[own] += 1;
  const rows = cloud.families.map((name, place) => {
    const box = element("input", { type: "checkbox", checked: !hidden.has(place) });
    box.addEventListener("change", () => {
      if (box.checked) hidden.delete(place);
      else hidden.add(place);
      changed();
    });
    return element(
      "li",
      {},
      element("label", {}, box, drawMark(name), element("span", {}, nameFamily(name)), element("span", { class: "soft figure" }, counts[place])),
    );
  });
  const open = matchMedia("(min-width: 48rem)").matches;
  return element(
    "details",
    { class: "legend", open },
    element("summary", {}, "Families"),
    element("ul", {}, ...rows),
  );
}
