import { openDialog } from "./dialog.js";
import { element } from "./dom.js";
import { registered, singleKeys } from "./keys.js";

/** The help: what the pointer and the keys do, made from the table of keys. */

const WORDS = new Map([
  ["ArrowLeft", "←"],
  ["ArrowRight", "→"],
  ["ArrowUp", "↑"],
  ["ArrowDown", "↓"],
  ["Escape", "Esc"],
  ["Delete", "Del"],
  ["PageUp", "Page up"],
  ["PageDown", "Page down"],
]);

/** Open it. */
export function showHelp() {
  /** @type {Map<string, import("./keys.js").Key[]>} */
  const groups = new Map();
  for (const key of registered()) {
    const where = key.where ?? "Everywhere";
    const group = groups.get(where) ?? [];
    if (!group.some(({ keys, what }) => what === key.what && String(keys) === String(key.keys))) group.push(key);
    groups.set(where, group);
  }
  const tables = [...groups].map(([where, keys]) =>
    element(
      "section",
      {},
      element("h3", {}, where),
      element("table", {}, element("tbody", {}, keys.map(line))),
    ),
  );
  openDialog({ title: "Keys and pointer", body: [element("div", { class: "keys" }, tables), singleKeysSwitch()], wide: true });
}

/** @param {import("./keys.js").Key} key */
function line({ keys, what }) {
  const all = typeof keys === "string" ? [keys] : keys;
  const cells = all.flatMap((one, index) => [index ? " or " : "", ...strokes(one)]);
  return element("tr", {}, element("th", { scope: "row" }, cells), element("td", {}, what));
}

/**
 * @param {string} keys
 * @returns {(Node | string)[]}
 */
function strokes(keys) {
  const mac = navigator.platform.startsWith("Mac");
  return keys.split(/\+(?!$)/).flatMap((one, index) => {
    const name = WORDS.get(one) ?? (one === "Ctrl" && mac ? "⌘" : one);
    const stroke = /^[A-Z0-9⌘←→↑↓?+,.[\]-]$/.test(name) || name.length < 9;
    const spoken = one.startsWith("Arrow") ? `${one.slice(5).toLowerCase()} arrow` : null;
    return [index ? " + " : "", stroke ? element("kbd", { "aria-label": spoken, role: spoken ? "img" : null }, name) : name];
  });
}

function singleKeysSwitch() {
  const box = element("input", {
    type: "checkbox",
    checked: singleKeys.on,
    onchange: () => {
      singleKeys.on = box.checked;
    },
  });
  return element("label", {}, box, "Keys of a single letter work outside the X-rays, too (turn off if you dictate)");
}
