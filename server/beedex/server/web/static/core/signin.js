/** Asking for a token, once for all requests that were refused without one. */

import { button, element } from "./element.js";
import { forgetToken, keepToken } from "./token.js";

/** @type {Promise<boolean> | null} */
let asking = null;

/**
 * Ask the visitor for a token.
 *
 * @param {string} reason why the server refused: TOKEN_MISSING or TOKEN_UNKNOWN
 * @returns {Promise<boolean>} whether one was given
 */
export function signIn(reason) {
  asking ??= askForToken(reason).finally(() => {
    asking = null;
  });
  return asking;
}

/**
 * @param {string} reason
 * @returns {Promise<boolean>}
 */
function askForToken(reason) {
  if (reason === "TOKEN_UNKNOWN") forgetToken();
  const why =
    reason === "TOKEN_UNKNOWN"
      ? "The server doesn't know that token. Check it for missing characters, or ask whoever runs the server for a new one."
      : "This server answers those who have a token. Whoever runs it can give you one.";
  return new Promise((resolve) => {
    const field = element("input", {
      id: "token",
      type: "password",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
      "aria-describedby": "token-why",
    });
    const form = element(
      "form",
      {
        submit: (/** @type {Event} */ event) => {
          event.preventDefault();
          keepToken(field.value.trim());
          dialog.close("given");
        },
      },
      element("h2", { id: "token-title" }, "Sign in"),
      element("p", { id: "token-why" }, why),
      element("label", { for: "token" }, "Token"),
      field,
      element("p", { class: "small soft" }, "It is kept in this tab and forgotten when you close it."),
      element(
        "div",
        { class: "row" },
        element("button", { class: "button strong", type: "submit" }, "Sign in"),
        button("Not now", () => dialog.close()),
      ),
    );
    const dialog = element("dialog", { class: "signin", "aria-labelledby": "token-title" }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "given");
    });
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}
