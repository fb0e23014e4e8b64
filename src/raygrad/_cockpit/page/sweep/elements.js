/**
 * An element with a class, a text and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [name] of its class
 * @param {(Node | string)[]} [children]
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, name = "", children = []) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children);
  return made;
}

/**
 * A button.
 * @param {string} text
 * @param {() => void} act
 */
export function button(text, act) {
  const made = element("button", "", [text]);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

/**
 * A panel with a heading. Returns its body.
 * @param {HTMLElement} host
 * @param {string} title
 */
export function panel(host, title) {
  const body = element("div", "body");
  host.append(element("section", "panel", [element("h2", "", [title]), body]));
  return body;
}

/**
 * A control with its name before it.
 * @template {HTMLElement} Control
 * @param {HTMLElement} host
 * @param {string} text
 * @param {Control} control
 * @param {string} [hint]
 * @returns {Control}
 */
export function labelled(host, text, control, hint = "") {
  const row = element("label", "row", [element("span", "", [text]), control]);
  if (hint) row.title = hint;
  host.append(row);
  return control;
}

/**
 * An input for a number, or a text.
 * @param {"number" | "text" | "checkbox" | "range"} type
 * @param {Record<string, string>} [attributes]
 */
export function input(type, attributes = {}) {
  const made = element("input");
  made.type = type;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/**
 * The sweep's part of what the page knows.
 * @param {import("./types.js").App} app
 * @returns {import("./types.js").SweepState | null}
 */
export function stateOf(app) {
  return /** @type {any} */ (app.store.state);
}

/**
 * Ask, and say what went wrong if it did.
 * @param {import("./types.js").App} app
 * @param {string} name
 * @param {Record<string, any>} [args]
 */
export async function ask(app, name, args = {}) {
  try {
    return await app.connection.call(name, args);
  } catch (error) {
    app.store.emit("trouble", { message: error instanceof Error ? error.message : String(error) });
    return undefined;
  }
}
