import { button, element, fill } from "../shell/dom.js";
import { addPanel } from "../shell/panels.js";
import { attempt, write } from "./save.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {{name: string, kind: string, size: number, frames: number | null}} Listed */

/**
 * The session and its X-rays: saved, opened from the folder, closed.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountFiles(host, app) {
  const { body } = addPanel(host, { id: "files", title: "Session and X-rays" });
  const name = element("input", { type: "text", value: "session", "aria-label": "Name of the session's file" });
  const save = button("Save", () => void write(app, "save_session", { name: name.value }), { class: "primary" });
  const download = button("Download", () => void write(app, "save_session", { name: name.value, download: true }));
  const kept = element("p", { class: "note" });
  const open = element("ul", { class: "work-list", "aria-label": "Open X-rays" });
  const choice = element("div", { class: "work-choice" });
  const angle = element("input", { type: "number", value: "0", step: "5", "aria-label": "Degrees from the front" });
  const simulate = button("Simulate an X-ray", () => {
    void attempt(() => app.connection.call("simulate_xray", { angle: Number(angle.value) }));
  });
  const empty = element("p", { class: "note", role: "status" });
  body.append(
    element("div", { class: "row" }, name, save, download),
    kept,
    empty,
    open,
    choice,
    element("div", { class: "row" }, simulate, element("label", {}, "from", angle, "° to the patient’s left")),
  );

  /** @param {import("../types.js").State} state */
  function show(state) {
    save.disabled = state.files.out === null;
    save.title = state.files.out ?? "Start the cockpit with --out FOLDER to write files. Download works without.";
    kept.textContent = keptText(state);
    empty.hidden = state.views.length > 0;
    empty.textContent = state.files.folder
      ? "No X-ray is open. Open one from the folder below, or simulate one of this CT."
      : "No X-ray is open. Simulate one of this CT, or start the cockpit with an X-ray, or with --folder.";
    fill(
      open,
      ...state.views.map((view, number) =>
        element(
          "li",
          {},
          element("span", {}, view.name),
          button("Close", () => void attempt(() => app.connection.call("close_xray", { view: number })), {
            class: "quiet",
            "aria-label": `Close ${view.name}`,
          }),
        ),
      ),
    );
    if (state.files.folder && !choice.childElementCount) showFolder(choice, app, state.files.folder);
  }
  app.store.on("state", show);
}

/** @param {import("../types.js").State} state */
function keptText(state) {
  if (state.files.out === null) return "Nothing is written: the cockpit was started without --out FOLDER.";
  if (state.saving.at === null) return `Files go to ${state.files.out}. Changes are kept there by themselves.`;
  return `Kept in ${state.saving.path} by itself.`;
}

/**
 * What can be opened from the folder.
 * @param {HTMLElement} host
 * @param {App} app
 * @param {string} folder
 */
function showFolder(host, app, folder) {
  const list = element("select", { size: 6, "aria-label": `X-rays in ${folder}` });
  const filter = element("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the X-rays by name" });
  const frame = element("input", { type: "number", min: 1, value: 1, "aria-label": "Frame" });
  const frames = element("label", {}, "frame", frame);
  const sdd = element("input", { type: "number", step: "any", min: 0, placeholder: "header", "aria-label": "Source to detector in mm" });
  const delx = element("input", { type: "number", step: "any", min: 0, placeholder: "header", "aria-label": "Pixel width in mm" });
  const instead = element("select", { "aria-label": "Where it is opened" });
  /** @type {Listed[]} */
  let files = [];

  function showList() {
    const wanted = filter.value.toLowerCase();
    const found = files.filter((file) => file.name.toLowerCase().includes(wanted));
    fill(list, ...found.map((file) => element("option", { value: file.name }, `${file.name} — ${file.kind}`)));
    showFrames();
  }
  function showFrames() {
    const chosen = files.find((file) => file.name === list.value);
    frames.hidden = !chosen?.frames || chosen.frames < 2;
    frame.max = String(chosen?.frames ?? 1);
    open.disabled = !chosen;
  }
  async function read() {
    files = (await attempt(() => app.connection.call("list_files"))) ?? [];
    showList();
  }
  const open = button("Open", () => {
    const args = {
      name: list.value,
      frame: frames.hidden ? null : Number(frame.value),
      instead: instead.value === "" ? null : Number(instead.value),
      sdd: sdd.value === "" ? null : Number(sdd.value),
      delx: delx.value === "" ? null : Number(delx.value),
    };
    void attempt(() => app.connection.call("open_xray", args));
  });
  filter.addEventListener("input", showList);
  list.addEventListener("change", showFrames);
  app.store.on("state", (state) => {
    const before = instead.value;
    fill(
      instead,
      element("option", { value: "" }, "as a further view"),
      ...state.views.map((/** @type {{name: string}} */ view, /** @type {number} */ number) =>
        element("option", { value: number }, `instead of ${view.name}`),
      ),
    );
    instead.value = Number(before) < state.views.length ? before : "";
  });
  host.append(
    element("div", { class: "row" }, filter, button("Look again", () => void read())),
    list,
    element("div", { class: "row" }, open, instead, frames),
    element("div", { class: "row" }, element("label", {}, "sdd", sdd, "mm"), element("label", {}, "pixel", delx, "mm")),
  );
  open.disabled = true;
  frames.hidden = true;
  fill(instead, element("option", { value: "" }, "as a further view"));
  void read();
}
