import { button, element, newId } from "./dom.js";

/** Dialogs on the browser's own: it keeps the focus in them, gives it back, and Escape closes them. */

/**
 * What a dialog's button says and does.
 * @typedef {Object} Action
 * @property {string} text
 * @property {string} [value] what the dialog was closed with, "" by default
 * @property {boolean} [primary] what Enter does
 * @property {boolean} [danger] something is lost
 */

/**
 * Open a dialog; it is gone from the page once it is closed.
 * @param {Object} options
 * @param {string} options.title
 * @param {Node | string | (Node | string)[]} options.body
 * @param {Action[]} [options.actions] "Close" by default
 * @param {boolean} [options.wide]
 * @returns {Promise<{value: string, form: HTMLFormElement}>} which button closed it ("" for Escape), and the form it is,
 *   with the fields of the body
 */
export function openDialog({ title, body, actions = [{ text: "Close", primary: true }], wide = false }) {
  const id = newId("dialog");
  const form = element("form", { method: "dialog" });
  const dialog = element("dialog", { "aria-labelledby": id, class: wide ? "wide" : "" }, form);
  const close = button("Close", () => dialog.close(""), { class: "quiet", "aria-label": "Close the dialog" });
  form.append(
    element("div", { class: "head" }, element("h2", { id }, title), close),
    element("div", { class: "body" }, ...(Array.isArray(body) ? body : [body])),
    element("div", { class: "foot" }, ...actions.map(actionButton)),
  );
  document.body.append(dialog);
  dialog.showModal();
  const first = /** @type {HTMLElement | null} */ (form.querySelector("[autofocus], .body input, .body select, .foot .primary"));
  first?.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve({ value: dialog.returnValue, form });
    });
  });
}

/** @param {Action} action */
function actionButton({ text, value = "", primary = false, danger = false }) {
  return element("button", { type: "submit", value, class: primary ? "primary" : danger ? "danger" : "" }, text);
}

/**
 * Ask something that is answered with yes or no.
 * @param {{title: string, text: string, yes: string, no?: string, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
export async function ask({ title, text, yes, no = "Cancel", danger = false }) {
  const actions = [{ text: no }, { text: yes, value: "yes", primary: !danger, danger }];
  const { value } = await openDialog({ title, body: element("p", {}, text), actions });
  return value === "yes";
}

/**
 * Ask for a line of text.
 * @param {{title: string, label: string, text?: string, yes: string}} question
 * @returns {Promise<string | null>} null if it was closed without
 */
export async function askText({ title, label, text = "", yes }) {
  const field = element("input", { type: "text", name: "text", value: text, required: true, autocomplete: "off" });
  const actions = [{ text: yes, value: "yes", primary: true }];
  const { value } = await openDialog({ title, body: element("label", { class: "field" }, label, field), actions });
  return value === "yes" ? field.value : null;
}
