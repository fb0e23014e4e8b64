import { ask, button, element, panel, stateOf } from "./elements.js";
import { plot } from "./plot.js";

/** @typedef {import("./types.js").App} App */
/** @typedef {import("./types.js").Made} Made */
/** @typedef {import("./types.js").Point} Point */

/**
 * The residual as it falls, how the held-out views compare, and the button that writes the volume.
 * @param {HTMLElement} host
 * @param {App} app
 */
export function mountOutcome(host, app) {
  const body = panel(host, "Outcome");
  const said = element("p", "about", ["Nothing yet."]);
  const graph = element("div", "plot");
  const table = element("div");
  const write = button("Write the volume", async () => {
    const name = await ask(app, "sweep_write");
    if (name) where.textContent = `Written: ${name}`;
  });
  const where = element("p", "about");
  where.setAttribute("role", "status");
  body.append(said, graph, table, write, where);
  /** @type {Point[]} */
  let points = [];
  const refresh = () => {
    const state = stateOf(app);
    if (!state) return;
    const { made, out, written } = state.sweep;
    said.textContent = made ? sentence(made) : "Nothing yet.";
    write.hidden = made === null || out === null;
    write.disabled = state.job !== null;
    if (written) where.textContent = `Written: ${written}`;
    else if (made && out === null) where.textContent = "Start the cockpit with --out volume.nii.gz to write it.";
    else where.textContent = "";
    table.replaceChildren(...(made && made.compared.length ? [compared(made)] : []));
  };
  app.store.on("state", (state) => {
    points = state.sweep.history;
    plot(graph, points);
    refresh();
  });
  app.store.on("points", (/** @type {{points: Point[]}} */ message) => {
    const last = points.length ? points[points.length - 1][0] : 0;
    points = [...points, ...message.points.filter(([number]) => number > last)];
    plot(graph, points);
  });
  app.store.on("made", (/** @type {{made: Made, at: number[]}} */ message) => {
    const state = stateOf(app);
    if (!state) return;
    Object.assign(state.sweep, { made: message.made, at: message.at, written: null });
    refresh();
  });
}

/** @param {Made} made */
function sentence(made) {
  const after = made.iteration ? `, iteration ${made.iteration}, residual ${made.residual?.toPrecision(4)}` : "";
  return `${made.method}: ${made.shape.join(" × ")} voxels${after}, ${made.seconds.toFixed(1)} s, ${made.status ?? "going on"}`;
}

/**
 * The held-out views, one a line.
 * @param {Made} made
 */
function compared(made) {
  const cells = (/** @type {"th" | "td"} */ tag, /** @type {string[]} */ texts) => element("tr", "", texts.map((text) => element(tag, "", [text])));
  const rows = made.compared.map(({ view, error, psnr, ncc }) =>
    cells("td", [String(view + 1), `${(100 * error).toFixed(2)} %`, psnr === null ? "equal" : psnr.toFixed(1), ncc.toFixed(4)]),
  );
  const mean = made.compared.reduce((sum, { error }) => sum + error, 0) / made.compared.length;
  const caption = element("caption", "", [`Held-out views: relative error ${(100 * mean).toFixed(2)} % on average`]);
  const head = element("thead", "", [cells("th", ["View", "Error", "PSNR, dB", "Correlation"])]);
  const scroll = element("div", "scroll", [element("table", "", [caption, head, element("tbody", "", rows)])]);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "Held-out views");
  return scroll;
}
