/** Tells those who hear the page what others see change. */

/** @param {string} words */
export function announce(words) {
  const announcer = document.getElementById("announcer");
  if (announcer) announcer.textContent = words;
}
