/** All answers of a visit as a table for other programs. */

/** @typedef {import("./series.js").Item} Item */

const COLUMNS = [
  "photo", "verdict", "family", "probability", "candidates", "nearest_entry", "nearest_family", "nearest_similarity",
  "snapshot", "fingerprint", "error",
];

/**
 * @param {Item[]} items
 * @returns {string} CSV as RFC 4180 has it
 */
export function writeTable(items) {
  const rows = items.map(({ photo, answer, failure }) => {
    const nearest = answer?.neighbors[0];
    return [
      photo.name, answer?.verdict, answer?.family, answer?.probability, answer?.candidates.join(" "), nearest?.entry_id,
      nearest?.family, nearest?.similarity, answer?.snapshot, answer?.fingerprint, failure?.title,
    ];
  });
  return [COLUMNS, ...rows].map((row) => row.map(quote).join(",")).join("\r\n") + "\r\n";
}

/** @param {unknown} value */
function quote(value) {
  let text = String(value ?? "");
  // A spreadsheet would compute what begins like a formula, and anyone can name a file so; numbers may be negative.
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {Item[]} items */
export function downloadTable(items) {
  const url = URL.createObjectURL(new Blob([writeTable(items)], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "bees.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
