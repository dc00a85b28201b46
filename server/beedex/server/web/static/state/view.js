/** What answers, how good it is, and how busy. */

import { askJson } from "../core/api.js";
import { element } from "../core/element.js";
import { showFailure } from "../core/failure.js";
import { count } from "../core/figures.js";
import { showLoad } from "./load.js";
import { showReport } from "./report.js";

const EVERY_MS = 2_000;

export class StateView {
  constructor() {
    this.title = "State";
    this.facts = element("section", { class: "panel", "aria-labelledby": "state-serving" });
    this.load = element("section", { class: "panel", "aria-labelledby": "state-load" });
    this.report = element("section", { class: "panel wide", "aria-labelledby": "state-report" });
    this.failure = element("div", {});
    this.panels = element("div", { class: "panels" }, this.facts, this.load, this.report);
    this.content = element("div", { class: "state" }, element("h1", { tabindex: "-1" }, "State"), this.failure, this.panels);
    this.timer = 0;
    this.reported = "";
  }

  async enter() {
    window.clearTimeout(this.timer);
    await this.look();
  }

  leave() {
    window.clearTimeout(this.timer);
  }

  async look() {
    window.clearTimeout(this.timer);
    try {
      if (!document.hidden) await this.fetch();
      this.failure.replaceChildren();
      if (this.content.isConnected) this.timer = window.setTimeout(() => void this.look(), EVERY_MS);
    } catch (error) {
      this.failure.replaceChildren(showFailure(error, () => void this.look()));
    }
  }

  async fetch() {
    const status = await askJson("/v1/status");
    this.facts.replaceChildren(element("h2", { id: "state-serving" }, "What answers"), listFacts(status));
    this.load.replaceChildren(element("h2", { id: "state-load" }, "How busy it is"), ...showLoad(status));
    if (this.reported === status.embedder.fingerprint) return;
    this.report.replaceChildren(...showReport(await askJson("/v1/report")));
    this.reported = status.embedder.fingerprint;
  }
}

/** @param {any} status */
function listFacts({ server_version: version, embedder, snapshot, phase, index_problem: problem }) {
  /** @type {[string, string][]} */
  const facts = [
    ["Phase", phase],
    ["Snapshot", `${snapshot.version}, ${count(snapshot.entries, "photo")} of ${count(snapshot.families, "family", "families")}`],
    ["Search", snapshot.index_kind],
    ["Embedder", `${embedder.backbone}, ${embedder.dimension} dimensions`],
    ["Fingerprint", embedder.fingerprint.slice(0, 16)],
    ["Weights", embedder.weights_note || embedder.weights],
    ["Thresholds", embedder.calibrated ? "fitted on held-out photos" : "none: too few held-out photos"],
    ["Version", version],
  ];
  if (problem) facts.unshift(["Problem", problem]);
  return element("dl", { class: "pairs" }, ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}
