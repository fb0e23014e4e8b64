/** Elements made in JavaScript; text is always text, so nothing that a file says can become markup. */

/** @typedef {string | number | Node | null | undefined | false} Child */

/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes */

/**
 * An element: `element("button", { type: "button", class: "primary", onclick: act }, "Register")`.
 *
 * Attributes have their names of HTML; true is an attribute without a value, and false, null and undefined are none.
 * What begins with "on" is a listener.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  fill(made, ...children);
  return made;
}

/**
 * Put these into the element in the place of what was in it.
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function fill(parent, ...children) {
  const shown = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  parent.replaceChildren(...shown.map((child) => (child instanceof Node ? child : String(child))));
}

/**
 * A button.
 * @param {string} text
 * @param {(event: MouseEvent) => void} act
 * @param {Attributes} [attributes]
 */
export function button(text, act, attributes = {}) {
  return element("button", { type: "button", onclick: act, ...attributes }, text);
}

/**
 * A button that shows a drawing; its name is what screen readers say, and its tooltip.
 * @param {string} name
 * @param {string} path of an SVG of 16 x 16, drawn as lines
 * @param {(event: MouseEvent) => void} act
 * @param {Attributes} [attributes]
 */
export function iconButton(name, path, act, attributes = {}) {
  return element("button", { type: "button", class: "icon", "aria-label": name, title: name, onclick: act, ...attributes }, icon(path));
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * A drawing of 16 x 16 in the colour of the text around it.
 * @param {string} path
 */
export function icon(path) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("aria-hidden", "true");
  drawing.setAttribute("class", "icon");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  drawing.append(line);
  return drawing;
}

/**
 * An id that no other element has.
 * @param {string} stem
 */
export function newId(stem) {
  return `${stem}-${++made}`;
}

let made = 0;
