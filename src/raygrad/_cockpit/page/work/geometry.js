import { element, fill } from "../shell/dom.js";
import { addPanel } from "../shell/panels.js";
import { attempt } from "./save.js";

/** @typedef {import("../app.js").App} App */
/**
 * @typedef {Object} Table
 * @property {string} name
 * @property {[number, number]} size
 * @property {{name: string, label: string, unit: string, value: number, origin: string}[]} used
 * @property {boolean} mirrored
 * @property {boolean} parallel
 * @property {string | null} taken_for
 * @property {string} hidden
 * @property {string[]} columns
 * @property {string[][]} header
 * @property {string[]} warnings
 */

/**
 * With what each X-ray was taken, and what its header says of it.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountGeometry(host, app) {
  const { body } = addPanel(host, { id: "geometry", title: "Geometry of the X-rays" });
  const choice = element("select", { "aria-label": "X-ray" });
  const shown = element("div", {});
  body.append(choice, shown);

  async function read() {
    const view = Number(choice.value);
    const views = app.store.state?.views.length ?? 0;
    if (choice.value === "" || view >= views) return fill(shown, element("p", { class: "note" }, "No X-ray is open."));
    /** @type {Table | null} */
    const table = await attempt(() => app.connection.call("geometry_table", { view }));
    if (!table || Number(choice.value) !== view) return;
    const active = /** @type {HTMLInputElement | null} */ (shown.querySelector("input:focus"));
    if (active && active.type === "number" && active.value !== active.defaultValue) return; // someone is typing
    const name = active?.getAttribute("aria-label");
    show(table, view);
    if (name) [...shown.querySelectorAll("input")].find((field) => field.getAttribute("aria-label") === name)?.focus();
  }

  /** @param {number} view @param {Record<string, number | boolean>} values */
  async function change(view, values) {
    const done = await attempt(async () => {
      await app.connection.call("change_geometry", { view, values });
      return true;
    });
    if (!done) for (const field of shown.querySelectorAll("input")) field.value = field.defaultValue;
    await read();
  }

  /** @param {Table} table @param {number} view */
  function show(table, view) {
    const mirrored = element("input", { type: "checkbox", onchange: () => void change(view, { mirrored: mirrored.checked }) });
    mirrored.checked = table.mirrored;
    const rows = table.used.map(({ name, label, unit, value, origin }) => {
      const field = element("input", { type: "number", step: "any", value, "aria-label": `${label} in ${unit}` });
      field.addEventListener("change", () => void change(view, { [name]: field.value === "" ? NaN : Number(field.value) }));
      return element("tr", {}, element("th", { scope: "row" }, label), element("td", {}, field, ` ${unit}`), element("td", { class: "note" }, origin));
    });
    fill(
      shown,
      element("p", { class: "note" }, `${table.size[0]} x ${table.size[1]} pixels${table.taken_for ? `, taken for ${table.taken_for}` : ""}`),
      table.hidden && element("p", { class: "note" }, `Left out: ${table.hidden}`),
      element("table", { class: "work-table" }, element("caption", {}, "Used"), element("tbody", {}, rows)),
      element("label", {}, mirrored, "Mirrored: the first column is at -x"),
      ...table.warnings.map((text) => element("p", { class: "warn" }, text)),
      table.header.length > 0 && header(table),
      !table.header.length && element("p", { class: "note" }, "No header said where it was taken from: the numbers are those that were given."),
    );
  }

  let before = "";
  app.store.on("state", (state) => {
    const names = state.views.map((/** @type {{name: string}} */ view) => view.name);
    const now = JSON.stringify(state.views);
    if (now === before) return;
    before = now;
    const chosen = choice.value;
    fill(choice, ...names.map((/** @type {string} */ name, /** @type {number} */ number) => element("option", { value: number }, name)));
    choice.value = chosen !== "" && Number(chosen) < names.length ? chosen : names.length ? "0" : "";
    void read();
  });
  choice.addEventListener("change", () => void read());
}

/** @param {Table} table */
function header(table) {
  return element(
    "div",
    { class: "work-wide", tabindex: 0, role: "region", "aria-label": "What the header says" },
    element(
      "table",
      { class: "work-table" },
      element("caption", {}, "What the header says"),
      element("thead", {}, element("tr", {}, table.columns.map((column) => element("th", { scope: "col" }, column)))),
      element("tbody", {}, table.header.map((cells) => element("tr", { class: `use-${cells[4].replaceAll(" ", "-")}` }, cells.map((cell) => element("td", {}, cell))))),
    ),
  );
}
