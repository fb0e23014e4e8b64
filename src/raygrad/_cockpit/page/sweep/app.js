import { register } from "../shell/keys.js";
import { mountMenu } from "../shell/menu.js";
import { tell } from "../shell/messages.js";
import { watchConnection } from "../shell/status.js";
import { Connection } from "../socket.js";
import { Store } from "../store.js";
import { mountForm } from "./form.js";
import { mountOutcome } from "./outcome.js";
import { mountPlan } from "./plan.js";
import { mountSlices } from "./slices.js";
import { mountStrip } from "./strip.js";
import { mountView } from "./view.js";

/** @typedef {import("./types.js").App} App */

/** Each part of the page, and where it is. @type {[string, (host: HTMLElement, app: App) => void][]} */
const PARTS = [
  ["menu", mountMenu],
  ["view", mountView],
  ["slices", mountSlices],
  ["side", mountForm],
  ["side", mountOutcome],
  ["side", mountPlan],
  ["strip", mountStrip],
];

/** @param {string} id */
function place(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

function start() {
  const status = place("status");
  const token = location.hash.slice(1) || sessionStorage.getItem("raygrad token") || "";
  if (!token) {
    status.textContent = "This address has no token. Open the one that raygrad cockpit printed.";
    return;
  }
  sessionStorage.setItem("raygrad token", token);
  const store = new Store();
  const app = { store, connection: new Connection(store, token) };
  watchConnection(store);
  store.on("trouble", ({ about, message }) => tell(message, { id: `trouble ${about ?? message}` }));
  store.on("made", ({ made }) => {
    if (made.status) status.textContent = `${made.method}: ${made.status}`;
  });
  store.on("state", (state) => {
    place("ct-name").textContent = `${state.ct.name}: ${state.views.length} views`;
  });
  for (const [id, mount] of PARTS) mount(place(id), app);
  register(
    { keys: ["ArrowLeft", "ArrowRight"], what: "The view before, the next", where: "In the strip of views" },
    { keys: ["PageUp", "PageDown", "Home", "End"], what: "Further", where: "In the strip of views" },
    { keys: ["U", "H", "L"], what: "Use the view, hold it out, leave it out", where: "In the strip of views" },
    { keys: "Space", what: "Play, and pause", where: "In the strip of views" },
  );
}

start();
