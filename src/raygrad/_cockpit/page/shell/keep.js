/** What this browser remembers of how a person likes the page: never anything of the patient. */

const PREFIX = "raygrad cockpit ";

/**
 * What was kept under the name, or the default.
 * @param {string} name
 * @param {any} otherwise
 * @returns {any}
 */
export function kept(name, otherwise) {
  try {
    const text = localStorage.getItem(PREFIX + name);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise; // a browser that keeps nothing, or something that is not ours
  }
}

/**
 * @param {string} name
 * @param {any} value
 */
export function keep(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // private windows: the page works, and forgets
  }
}
