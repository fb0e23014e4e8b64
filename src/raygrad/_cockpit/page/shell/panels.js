import { element } from "./dom.js";
import { enlargeButton } from "./enlarge.js";
import { keep, kept } from "./keep.js";
import { showTab, tabHost } from "./tabs.js";

/**
 * Panels: a heading that opens and closes what is below. Those at the side lie in tabs, so that what belongs together is
 * seen together. A part makes its panel with `addPanel` and fills its body; where it lies is said here.
 *
 * @typedef {Object} Panel
 * @property {HTMLElement} panel the whole
 * @property {HTMLElement} body what the part fills
 * @property {HTMLElement} extra at the right of the heading, for a number or a button
 * @property {(open: boolean) => void} open
 */

/** The tabs at the side, and the panels in them from above. A panel that is not named here goes to the end of the first. */
export const TABS = [
  { id: "align", title: "Align", panels: ["registration", "certainty", "landscape", "sweep", "reconstruction"] },
  { id: "patient", title: "Bodies", panels: ["bodies"] },
  { id: "geometry-tab", title: "Geometry", panels: ["geometry", "unknowns", "response"] },
  { id: "files-tab", title: "Files", panels: ["snapshots", "history", "files", "export", "open"] },
];

/** Panels of the middle, from above. */
const MIDDLE = ["scene", "slices", "strip"];

/** @type {Map<string, Panel>} */
const made = new Map();

/**
 * Add a panel.
 * @param {HTMLElement} host the place that the part was mounted in
 * @param {{id: string, title: string, open?: boolean, fill?: boolean}} options `open`: at first, until a person closes it;
 *   `fill`: it takes the height that is left, as pictures do, and can be enlarged
 * @returns {Panel}
 */
export function addPanel(host, { id, title, open = true, fill = false }) {
  const body = element("div", { class: "body", id: `${id}-body` });
  const toggle = element("button", { type: "button", class: "fold", "aria-controls": body.id }, title);
  const extra = element("span", { class: "extra" });
  const panel = element("section", { class: "panel", id: `panel-${id}`, "aria-label": title }, element("h2", {}, toggle, extra), body);
  if (fill) {
    panel.classList.add("fill");
    panel.querySelector("h2")?.append(enlargeButton(panel, title));
  }
  /** @param {boolean} wanted */
  function show(wanted) {
    toggle.setAttribute("aria-expanded", String(wanted));
    panel.classList.toggle("folded", !wanted);
    body.hidden = !wanted;
  }
  toggle.addEventListener("click", () => {
    show(Boolean(body.hidden));
    keep(`open ${id}`, !body.hidden);
  });
  show(kept(`open ${id}`, open));
  const group = host.id === "side" ? (TABS.find((tab) => tab.panels.includes(id)) ?? TABS[0]) : null;
  const order = TABS.map((tab) => tab.id);
  insert(group ? tabHost(host, group, order) : host, panel, group ? group.panels : MIDDLE, id);
  const one = { panel, body, extra, open: show };
  made.set(id, one);
  return one;
}

/**
 * Show a panel: its tab, open, and scrolled to.
 * @param {string} id
 */
export function revealPanel(id) {
  const one = made.get(id);
  if (!one) return;
  one.open(true);
  showTab(one.panel);
  one.panel.scrollIntoView({ block: "nearest" });
}

/**
 * @param {HTMLElement} host
 * @param {HTMLElement} panel
 * @param {string[]} order
 * @param {string} id
 */
function insert(host, panel, order, id) {
  /** @param {string} one */
  const rank = (one) => (order.includes(one) ? order.indexOf(one) : order.length);
  const after = [...host.children].find((other) => other.id.startsWith("panel-") && rank(other.id.slice(6)) > rank(id));
  host.insertBefore(panel, after ?? null);
}
