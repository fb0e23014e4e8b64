import { button, element, fill } from "../shell/dom.js";
import { addPanel } from "../shell/panels.js";
import { attempt, write } from "./save.js";
import { savePanes } from "./seen.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {{kind: string, name: string, suffixes: string[], needs: string[], one_view: boolean, reason: string | null}} Kind */

/**
 * Every kind of file that the poses can be written as, and pictures.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountExport(host, app) {
  const { body } = addPanel(host, { id: "export", title: "Export and pictures", open: false });
  const views = element("select", { "aria-label": "Views that are exported" });
  const name = element("input", { type: "text", value: "export", "aria-label": "Name of the file, without its ending" });
  const table = element("tbody", {});
  const picture = element("select", { "aria-label": "Picture" });
  const look = button("What can be had now?", () => void read());
  body.append(
    element("div", { class: "row" }, element("label", {}, "Name", name), views, look),
    element("table", { class: "work-table work-kinds" }, table),
    element("h3", {}, "Pictures"),
    element("div", { class: "row" }, picture, ...buttons(savePicture)),
    element("div", { class: "row" }, "X-rays as they are seen", ...buttons((download) => savePanes(app, `${name.value}-seen`, download))),
  );

  /** The chosen view, null for all. */
  const chosen = () => (views.value === "" ? null : Number(views.value));

  /** @param {(download: boolean) => Promise<void>} act */
  function buttons(act) {
    const save = button("Save", () => void act(false), { class: "work-save" });
    return [save, button("Download", () => void act(true))];
  }

  /** @param {boolean} download */
  async function savePicture(download) {
    const wanted = chosen();
    for (let view = 0; view < (app.store.state?.views.length ?? 0); view++) {
      if (wanted !== null && wanted !== view) continue;
      await write(app, "save_picture", { view, what: picture.value, name: `${name.value}-${picture.value}-${view + 1}`, download });
    }
  }

  async function read() {
    look.disabled = true;
    /** @type {Kind[] | null} */
    const kinds = await attempt(() => app.connection.call("export_kinds", { view: chosen() }));
    look.disabled = false;
    fill(table, ...(kinds ?? []).map((kind) => row(kind)));
    showFolder();
  }

  /** @param {Kind} kind */
  function row(kind) {
    const suffix = element("select", { "aria-label": `Ending of ${kind.name}` }, ...kind.suffixes.map((one) => element("option", {}, one)));
    const needs = kind.needs.map((need) => (need === "ct" ? "the CT" : "X-rays")).join(", ");
    const act = (/** @type {boolean} */ download) =>
      write(app, "export_file", { kind: kind.kind, name: `${name.value}${suffix.value}`, view: chosen(), download });
    const what = element("td", {}, element("strong", {}, kind.name), element("p", { class: "note" }, kind.reason ?? (needs ? `with ${needs}` : "")));
    return element("tr", {}, what, element("td", {}, kind.reason === null ? element("div", { class: "row" }, suffix, ...buttons(act)) : "not now"));
  }

  function showFolder() {
    const out = app.store.state?.files.out ?? null;
    for (const save of /** @type {NodeListOf<HTMLButtonElement>} */ (body.querySelectorAll(".work-save"))) {
      save.disabled = out === null;
      save.title = out ?? "Start the cockpit with --out FOLDER to write files. Download works without.";
    }
  }

  views.addEventListener("change", () => void read());
  app.store.on("state", (state) => {
    const before = views.value;
    fill(
      views,
      element("option", { value: "" }, "all views"),
      ...state.views.map((/** @type {{name: string}} */ view, /** @type {number} */ number) => element("option", { value: number }, view.name)),
    );
    views.value = Number(before) < state.views.length ? before : "";
    showFolder();
    if (!picture.childElementCount) void pictures();
  });

  async function pictures() {
    /** @type {Record<string, string>} */
    const known = (await attempt(() => app.connection.call("picture_kinds"))) ?? {};
    fill(picture, ...Object.entries(known).map(([kind, text]) => element("option", { value: kind }, text)));
  }
}
