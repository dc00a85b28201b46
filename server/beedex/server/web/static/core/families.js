/** Families in words. A gallery may be of anything, so only names that are known to be those of bees become bees. */

/** @type {Record<string, string>} */
const BEES = {
  bumble: "bumblebee",
  carder: "carder bee",
  carpenter: "carpenter bee",
  cuckoo: "cuckoo bee",
  digger: "digger bee",
  furrow: "furrow bee",
  honey: "honey bee",
  leafcutter: "leafcutter bee",
  mason: "mason bee",
  mining: "mining bee",
  plasterer: "plasterer bee",
  resin: "resin bee",
  squash: "squash bee",
  stingless: "stingless bee",
  sweat: "sweat bee",
  yellowface: "yellow-faced bee",
};

/** @param {string} name */
export function nameFamily(name) {
  return capitalise(inWords(name));
}

/**
 * @param {string[]} names
 * @returns {string} such as "Mason or mining bee"
 */
export function nameFamilies(names) {
  const words = names.map(inWords);
  const isShared = words.length > 1 && words.every((one) => one.endsWith(" bee"));
  const short = isShared ? words.map((one, place) => (place < words.length - 1 ? one.slice(0, -4) : one)) : words;
  const last = short.at(-1) ?? "";
  const before = short.slice(0, -1).join(", ");
  return capitalise(before ? `${before} or ${last}` : last);
}

/** @param {string} name */
function inWords(name) {
  const plain = name.replaceAll("_", " ").trim();
  const known = plain.toLowerCase();
  // A family may be called as anything that every object has, such as "constructor".
  return Object.hasOwn(BEES, known) ? /** @type {string} */ (BEES[known]) : plain;
}

/** @param {string} words */
function capitalise(words) {
  return words.charAt(0).toLocaleUpperCase("en") + words.slice(1);
}
