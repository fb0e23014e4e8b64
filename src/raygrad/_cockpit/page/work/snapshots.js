import { ask, askText } from "../shell/dialog.js";
import { button, element, fill } from "../shell/dom.js";
import { addPanel } from "../shell/panels.js";
import { greys } from "../xrays/grey.js";
import { attempt } from "./save.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {{number: number, name: string, similarity: (number | null)[]}} Snapshot */

/**
 * Where everything was: taken, gone back to, compared.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountSnapshots(host, app) {
  const { body } = addPanel(host, { id: "snapshots", title: "Snapshots" });
  const list = element("ul", { class: "work-snapshots", "aria-label": "Snapshots" });
  const hint = element("p", { class: "note" }, "A snapshot keeps where everything is, to come back to it and to compare.");
  const first = element("select", { "aria-label": "Compare" });
  const second = element("select", { "aria-label": "with" });
  const result = element("div", { class: "work-compared", "aria-live": "polite" });
  const compare = button("Compare", () => void show());
  const comparing = element("div", {}, element("div", { class: "row" }, first, "with", second, compare), result);
  body.append(button("Take a snapshot", () => void take(), { class: "primary" }), hint, list, comparing);

  async function take() {
    await attempt(() => app.connection.call("take_snapshot"));
  }

  async function show() {
    const [a, b] = [first, second].map((choice) => (choice.value === "" ? null : Number(choice.value)));
    const found = await attempt(() => app.connection.call("compare_snapshots", { first: a, second: b }));
    if (!found) return;
    const views = app.store.state?.views ?? [];
    const names = [first, second].map((choice) => choice.selectedOptions[0]?.text ?? "");
    fill(
      result,
      element("p", {}, `The CT’s middle moved by ${found.mm.toFixed(2)} mm, and it turned by ${found.degrees.toFixed(2)}°.`),
      ...views.map((view, number) =>
        element(
          "figure",
          {},
          ...["a", "b"].map((side, i) => picture(`compared ${side} ${number}`, `${view.name}: ${names[i]}`)),
          element("figcaption", {}, `${view.name}: ${found.mtre[number].toFixed(2)} mm apart (mTRE)`),
        ),
      ),
    );
  }

  /**
   * A canvas that shows a frame, as soon as it is there.
   * @param {string} key
   * @param {string} name
   */
  function picture(key, name) {
    const canvas = element("canvas", { role: "img", "aria-label": name, width: 1, height: 1 });
    const draw = (/** @type {import("../types.js").Frame | undefined} */ frame) => {
      if (!frame) return;
      [canvas.height, canvas.width] = frame.shape;
      canvas.getContext("2d")?.putImageData(greys(frame, frame.low, frame.high), 0, 0);
    };
    draw(app.store.frames.get(key));
    const stop = app.store.on(`frame:${key}`, (frame) => (canvas.isConnected ? draw(frame) : stop()));
    return canvas;
  }

  /** @param {Snapshot} one */
  function item({ number, name, similarity }) {
    const said = similarity.map((value) => (value === null ? "–" : value.toFixed(3))).join(", ");
    return element(
      "li",
      {},
      picture(`snapshot ${number}`, name),
      element("div", {}, element("strong", {}, name), element("p", { class: "note" }, said ? `similarity ${said}` : "")),
      element(
        "div",
        { class: "row" },
        button("Go back", () => void attempt(() => app.connection.call("restore_snapshot", { number })), { "aria-label": `Go back to ${name}` }),
        button("Rename", () => void rename(number, name), { class: "quiet", "aria-label": `Rename ${name}` }),
        button("Delete", () => void remove(number, name), { class: "quiet", "aria-label": `Delete ${name}` }),
      ),
    );
  }

  /** @param {number} number @param {string} name */
  async function rename(number, name) {
    const text = await askText({ title: "Rename the snapshot", label: "Name", text: name, yes: "Rename" });
    if (text) await attempt(() => app.connection.call("rename_snapshot", { number, name: text }));
  }

  /** @param {number} number @param {string} name */
  async function remove(number, name) {
    if (await ask({ title: "Delete the snapshot?", text: `${name} cannot be brought back.`, yes: "Delete", danger: true }))
      await attempt(() => app.connection.call("delete_snapshot", { number }));
  }

  let before = "";
  app.store.on("state", (state) => {
    const now = JSON.stringify(state.snapshots);
    if (now === before) return;
    before = now;
    hint.hidden = state.snapshots.length > 0;
    comparing.hidden = state.snapshots.length === 0;
    fill(list, ...state.snapshots.map(item));
    for (const choice of [first, second]) {
      const chosen = choice.value;
      const others = state.snapshots.map((/** @type {Snapshot} */ one) => element("option", { value: one.number }, one.name));
      fill(choice, element("option", { value: "" }, "now"), ...others);
      choice.value = chosen;
      if (choice.selectedIndex < 0) choice.selectedIndex = 0;
    }
    if (first.value === second.value && state.snapshots.length) first.selectedIndex = first.options.length - 1;
  });
}
