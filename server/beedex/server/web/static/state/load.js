/** The embedding lane and the times of recent requests. */

import { element } from "../core/element.js";
import { milliseconds } from "../core/figures.js";

/** @type {Record<string, string>} */
const STAGES = {
  request: "Whole request",
  queue: "Waiting in the lane",
  decode: "Decoding",
  inference: "Embedding",
  search: "Searching",
};

/** @param {any} status */
export function showLoad({ load, latency }) {
  const filled = element("span", { class: "filled" });
  filled.style.width = `${load.lane_capacity ? (load.lane_depth / load.lane_capacity) * 100 : 0}%`;
  const stages = Object.keys(STAGES).filter((stage) => latency[stage]);
  const rest = Object.keys(latency).filter((stage) => !(stage in STAGES));
  return [
    element("p", {}, `${load.lane_depth} of ${load.lane_capacity} places in the embedding lane taken`),
    element("span", { class: "bar", "aria-hidden": "true" }, filled),
    element("p", { class: "soft small" }, `A photo that came now would wait ${milliseconds(load.expected_wait_s)}.`),
    stages.length + rest.length
      ? showTimes([...stages, ...rest], latency)
      : element("p", { class: "soft" }, "Nothing was asked yet."),
  ];
}

/**
 * @param {string[]} stages
 * @param {Record<string, {count: number, p50_s: number, p95_s: number}>} latency
 */
function showTimes(stages, latency) {
  const heads = ["Of recent requests", "half within", "19 of 20 within"];
  const rows = stages.map((stage) => {
    const times = latency[stage];
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, STAGES[stage] ?? stage),
      element("td", {}, times ? milliseconds(times.p50_s) : ""),
      element("td", {}, times ? milliseconds(times.p95_s) : ""),
    );
  });
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows),
  );
}
