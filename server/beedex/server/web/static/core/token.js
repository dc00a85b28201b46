/** The token of this visit: known to this tab, and gone with it. */

const KEY = "beedex-token";

/** @returns {string | null} */
export function readToken() {
  return sessionStorage.getItem(KEY);
}

/** @param {string} token */
export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}
