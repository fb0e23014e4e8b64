import { Connection } from "./socket.js";
import { mountBodies } from "./bodies/bodies.js";
import { mountScene } from "./scene/scene.js";
import { mountSlices } from "./slices/slices.js";
import { Store } from "./store.js";
import { mountNoXrays } from "./shell/empty.js";
import { mountLayout } from "./shell/layout.js";
import { mountMenu } from "./shell/menu.js";
import { say, tell } from "./shell/messages.js";
import { mountStatus } from "./shell/status.js";
import { mountCertainty } from "./help/certainty.js";
import { mountLandscape } from "./help/landscape.js";
import { mountHelpTools, mountRegistration } from "./help/register.js";
import { mountTools } from "./tools.js";
import { mountTour } from "./tour/tour.js";
import { mountExport } from "./work/export.js";
import { mountFiles } from "./work/files.js";
import { mountGeometry } from "./work/geometry.js";
import { mountSnapshots } from "./work/snapshots.js";
import { mountXrays } from "./xrays/xrays.js";

/**
 * What every part of the page gets.
 * @typedef {Object} App
 * @property {Store} store
 * @property {Connection} connection
 */

/**
 * Each part of the page, and where it is: "tools", "xrays", "space" (scene and slices) or "side" (panels).
 * @type {[string, (host: HTMLElement, app: App) => void][]}
 */
const PARTS = [
  ["tools", mountTools],
  ["tools", mountHelpTools],
  ["menu", mountMenu],
  ["menu", mountTour],
  ["xrays", mountNoXrays],
  ["xrays", mountXrays],
  ["side", mountRegistration],
  ["side", mountCertainty],
  ["side", mountBodies],
  ["side", mountSnapshots],
  ["side", mountFiles],
  ["side", mountExport],
  ["side", mountGeometry],
  ["space", mountScene],
  ["space", mountSlices],
  ["side", mountLandscape],
];

/** @param {string} id */
function place(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

function start() {
  const token = location.hash.slice(1) || sessionStorage.getItem("raygrad token") || "";
  mountLayout();
  if (!token) {
    place("status").textContent = "";
    tell("This address has no token. Open the one that raygrad cockpit printed.");
    return;
  }
  sessionStorage.setItem("raygrad token", token);
  const store = new Store();
  const app = { store, connection: new Connection(store, token) };
  mountStatus(place("job"), app);
  const waiting = ["tools", "space", "side"].map(place);
  for (const part of waiting) part.inert = true; // until there is something to work with
  let opening = "";
  store.on("opening", ({ text }) => {
    opening = text;
    say(text);
  });
  store.on("state", (state) => {
    if (opening && place("status").textContent === opening) say("");
    place("ct-name").textContent = state.ct.name;
    for (const part of waiting) part.inert = false;
  });
  for (const [id, mount] of PARTS) {
    try {
      mount(place(id), app);
    } catch (error) {
      console.error(error);
      tell(`A part of the page (${id}) did not start: ${error}. The others work.`);
    }
  }
}

start();
