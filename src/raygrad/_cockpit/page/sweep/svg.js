const SVG = "http://www.w3.org/2000/svg";

/**
 * A shape of a drawing.
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 */
export function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/**
 * A text in a drawing.
 * @param {number} x
 * @param {number} y
 * @param {string} anchor
 * @param {string} text
 */
export function label(x, y, anchor, text) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}
