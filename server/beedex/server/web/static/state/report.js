/** How good the embedder is, as its trainer measured it. */

import { ask } from "../core/api.js";
import { button, element } from "../core/element.js";
import { nameFamily } from "../core/families.js";
import { count, percent } from "../core/figures.js";
import { drawMark } from "../core/marker.js";
import { readToken } from "../core/token.js";

/** @typedef {{value: number, low: number, high: number}} Figure */

/** @param {any} report */
export function showReport({ metrics, has_page: hasPage }) {
  const recall = /** @type {Figure | undefined} */ (metrics.recall_at_1);
  return [
    element("h2", { id: "state-report" }, "How good it is"),
    recall
      ? element("p", {}, `On ${count(metrics.n, "held-out photo")}, that the training never saw:`)
      : element("p", { class: "soft" }, "The embedder was made without a measurement."),
    recall ? showFigures(metrics) : null,
    recall ? showFamilies(metrics) : null,
    hasPage ? offerPage() : element("p", { class: "soft small" }, "The embedder came without a report."),
  ].filter((part) => part !== null);
}

/** @param {any} metrics */
function showFigures(metrics) {
  /** @type {[string, Figure | undefined, number | undefined][]} */
  const figures = [
    ["Nearest photo is of the right family", metrics.recall_at_1, metrics.chance_recall_at_1],
    ["The same, before training", metrics.frozen?.recall_at_1, undefined],
    ["Right family among as many as there are (MAP@R)", metrics.map_at_r, undefined],
  ];
  const rows = figures.flatMap(([name, figure, chance]) => (figure ? [showFigure(name, figure, chance)] : []));
  return element("ul", { class: "measures" }, ...rows);
}

/**
 * @param {string} name
 * @param {Figure} figure
 * @param {number} [chance]
 */
function showFigure(name, { value, low, high }, chance) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" });
  const span = element("span", { class: "span" });
  span.style.left = `${low * 100}%`;
  span.style.width = `${(high - low) * 100}%`;
  const filled = element("span", { class: "filled" });
  filled.style.width = `${value * 100}%`;
  bar.append(filled, span);
  const guess = chance === undefined ? "" : `; by chance ${percent(chance)}`;
  return element(
    "li",
    {},
    element("span", {}, name),
    bar,
    element("strong", { class: "figure" }, percent(value)),
    element("span", { class: "soft small" }, `between ${percent(low)} and ${percent(high)}, at 95 % confidence${guess}`),
  );
}

/** @param {any} metrics */
function showFamilies(metrics) {
  const rows = Object.entries(metrics.families ?? {}).map(([name, photos]) =>
    element("li", {}, drawMark(name), `${nameFamily(name)} ${photos}`),
  );
  return element("ul", { class: "chips small", "aria-label": "Held-out photos by family" }, ...rows);
}

function offerPage() {
  // A tab of its own can't send a token.
  if (readToken()) return button("Download the whole report", () => void download());
  return element("a", { class: "button", href: "/v1/report/page", target: "_blank", rel: "noopener" }, "The whole report");
}

async function download() {
  const url = URL.createObjectURL(await (await ask("/v1/report/page")).blob());
  element("a", { href: url, download: "beedex-report.html" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
