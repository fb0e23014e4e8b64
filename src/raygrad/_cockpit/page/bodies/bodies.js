import { button, element, fill } from "../shell/dom.js";
import { register as registerKeys } from "../shell/keys.js";
import { say } from "../shell/messages.js";
import { addPanel } from "../shell/panels.js";
import { attempt } from "../work/save.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../types.js").BodyState} BodyState */
/** @typedef {import("../types.js").State} State */

const ALONE =
  "The CT is all there is. Give a labelmap of it (--labelmap), and a structure can move by itself; give a mesh " +
  "(--mesh cup=cup.stl:titanium), and an implant is seen, dragged and registered.";

/**
 * The panel of what moves by itself: the CT, structures taken out of it, implants.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountBodies(host, app) {
  const { body } = addPanel(host, { id: "bodies", title: "Bodies" });
  const table = element("table", { class: "bodies" });
  const hint = element("p", { class: "note" });
  const structures = element("select", { "aria-label": "Structure of the CT" });
  const out = button("Move by itself", () => void attempt(() => app.connection.call("take_out", { label: Number(structures.value) })));
  const more = element("div", { class: "row" }, structures, out);
  body.append(table, hint, more);

  /** @param {BodyState[]} list */
  function next(list) {
    const { state } = app.store;
    if (!state || list.length < 2) return;
    const at = list.findIndex(({ name }) => name === state.selected);
    const { name } = list[(at + 1) % list.length];
    app.connection.send("select", { body: name });
    say(`Hands move ${name}.`);
  }
  registerKeys({ keys: "B", what: "Let hands move the next body", act: () => next(app.store.state?.bodies.list ?? []) });

  let shown = "";
  /** @param {State} state @param {boolean} [anew] */
  function show(state, anew = false) {
    const { list, structures: left } = state.bodies;
    const now = JSON.stringify([list, left, state.selected]);
    if (now === shown && !anew) return;
    shown = now;
    table.hidden = list.length < 2;
    fill(table, heading(), element("tbody", {}, ...list.map((one) => row(one, state))));
    const labels = Object.entries(left);
    hint.hidden = list.length > 1;
    hint.textContent = labels.length ? "A structure that has moved within the patient is found by itself, as an implant is." : ALONE;
    more.hidden = labels.length === 0;
    const chosen = structures.value;
    fill(structures, ...labels.map(([label, name]) => element("option", { value: label }, name)));
    if (chosen in left) structures.value = chosen;
  }

  /** @param {BodyState} one @param {State} state */
  function row(one, state) {
    const { name } = one;
    const mine = element("input", {
      type: "radio", name: "selected-body", "aria-label": `Hands move ${name}`,
      onchange: () => app.connection.send("select", { body: name }),
    });
    mine.checked = name === state.selected;
    const free = element("input", { type: "checkbox", "aria-label": `Register ${name}`, onchange: () => void letMove() });
    free.checked = one.free;
    return element(
      "tr",
      {},
      element("td", {}, mine),
      element("td", {}, free),
      element("th", { scope: "row" }, name),
      element("td", {}, element("p", { class: "note" }, inWords(one)), ...(one.kind === "ct" ? [] : actions(one))),
    );
  }

  /** @param {BodyState} one */
  function actions({ name, kind }) {
    const [text, what] = kind === "structure" ? ["Join", `Make ${name} part of the CT again`] : ["Remove", `Remove ${name}`];
    return [
      button("Back", () => void attempt(() => app.connection.call("place_back", { body: name })), {
        class: "quiet", "aria-label": `${name} back to where it was in the CT`, title: "Back to where it was in the CT",
      }),
      button(text, () => void attempt(() => app.connection.call("put_in", { body: name })), { class: "quiet", "aria-label": what, title: what }),
    ];
  }

  async function letMove() {
    const { state } = app.store;
    if (!state) return;
    const boxes = /** @type {NodeListOf<HTMLInputElement>} */ (table.querySelectorAll("input[type=checkbox]"));
    const bodies = state.bodies.list.filter((_, number) => boxes[number].checked).map(({ name }) => name);
    await attempt(() => app.connection.call("let_move", { bodies }));
    if (app.store.state) show(app.store.state, true); // a box that was refused is ticked again
  }

  app.store.on("state", (state) => show(state));
}

/** @param {BodyState} one */
function inWords({ kind, of, moved }) {
  if (kind === "ct" || !moved) return "all else";
  const [mm, degrees] = moved;
  const way = mm < 0.005 && degrees < 0.005 ? "as at first" : `${mm.toFixed(2)} mm, ${degrees.toFixed(2)}° off`;
  return of ? `${way} (${of})` : way;
}

function heading() {
  const titles = [["Hands", "Which one hands move (B: the next)"], ["Register", "Which ones Register and Snap move"], ["Body", ""], ["Where", "In the CT"]];
  return element("thead", {}, element("tr", {}, ...titles.map(([text, title]) => element("th", { scope: "col", title }, text))));
}
