import { button, element, fill } from "./dom.js";
import { say, tell } from "./messages.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../types.js").JobState} JobState */

/** After so many seconds without a connection the server has ended, as far as a person can tell. */
const ENDED_AFTER_S = 12;

/**
 * The connection, what is being worked on, and what went wrong.
 * @param {HTMLElement} host of the job
 * @param {App} app
 */
export function mountStatus(host, { store, connection }) {
  watchConnection(store);
  watchHistory(store);
  const name = element("span", { class: "name" });
  const text = element("span", { class: "text" });
  const share = element("div", { class: "share" });
  const track = element("div", { class: "track", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, share);
  const cancel = button("Cancel", () => connection.send("cancel"), { id: "cancel" });
  fill(host, name, track, text, cancel);
  /** @type {string | null} */
  let running = null;

  /** @param {JobState | null} job */
  function show(job) {
    host.hidden = job === null;
    if (job) {
      name.textContent = job.name;
      text.textContent = job.text ?? "";
      text.title = job.text ?? "";
      track.classList.toggle("unknown", job.share === undefined);
      track.setAttribute("aria-label", job.name);
      if (job.share === undefined) track.removeAttribute("aria-valuenow");
      else track.setAttribute("aria-valuenow", String(Math.round(100 * job.share)));
      track.setAttribute("aria-valuetext", job.text ?? "");
      share.style.width = job.share === undefined ? "" : `${100 * job.share}%`;
    }
    if (job && running !== job.name) say(`${job.name} …`);
    else if (!job && running) {
      say(`${running}: ended.`);
      if (document.activeElement === cancel) document.getElementById("tools")?.querySelector("button")?.focus();
    }
    running = job?.name ?? null;
  }
  store.on("job", show);
  store.on("state", (state) => show(state.job ?? null));
  store.on("trouble", ({ about, message }) => tell(message, { id: `trouble ${about ?? message}` }));
}

/**
 * What was done and undone, in words: a person who does not see the images hears that something moved.
 * @param {App["store"]} store
 */
function watchHistory(store) {
  /** @type {import("../types.js").State["history"] | null} */
  let last = null;
  store.on("state", ({ history }) => {
    if (last && history.redo !== last.redo && history.redo === last.undo && history.redo !== null) say(`Undone: ${history.redo}`);
    else if (last && history.undo !== last.undo && history.undo !== null && history.undo === last.redo) say(`Done again: ${history.undo}`);
    else if (last && history.undo !== last.undo && history.undo !== null && history.redo === null) say(history.undo);
    last = { ...history };
  });
}

/**
 * Say when the connection is lost and back, and what to do if it does not come back.
 * @param {App["store"]} store
 */
export function watchConnection(store) {
  let ended = 0;
  let close = () => {};
  let lost = false;
  store.on("connection", (/** @type {boolean} */ there) => {
    if (there) {
      clearTimeout(ended);
      ended = 0;
      close();
      if (lost) say("Connected again. Everything is as it was.");
      else say("");
      lost = false;
      document.body.classList.remove("lost");
      return;
    }
    if (lost) return;
    lost = true;
    document.body.classList.add("lost");
    say("The connection was lost. Trying again …");
    ended = window.setTimeout(() => {
      say("There is no connection.");
      close = tell(
        "raygrad cockpit no longer runs. Start it again in the terminal, and open the address that it prints. " +
          "What was not saved or exported is gone; this page shows how it was last.",
        { id: "ended", actions: [{ text: "Try again", act: () => location.reload() }] },
      );
    }, 1000 * ENDED_AFTER_S);
  });
}
