import "./types.js";

/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Frame} Frame */

/**
 * What the page knows, and who wants to know when it changes.
 *
 * Events: "state" (whole state), "placement", "frame" and "frame:KEY", "job", "trouble", "connection" (boolean),
 * "cursor" (of this page alone). Whoever listens gets the value.
 */
export class Store {
  constructor() {
    /** @type {State | null} */
    this.state = null;
    /** @type {Map<string, Frame>} */
    this.frames = new Map();
    /** @type {Map<string, Set<(value: any) => void>>} */
    this.listeners = new Map();
  }

  /**
   * Call the listener with every value of that event. Returns how to stop.
   * @param {string} event
   * @param {(value: any) => void} listener
   */
  on(event, listener) {
    const listeners = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /**
   * @param {string} event
   * @param {any} [value]
   */
  emit(event, value) {
    for (const listener of this.listeners.get(event) ?? []) listener(value);
  }

  /**
   * A message of the server's.
   * @param {any} message
   */
  receive(message) {
    if (message.type === "state") {
      this.state = message.state;
      this.emit("state", message.state);
      this.emit("placement", message.state.placement);
    } else if (message.type === "placement" && this.state) {
      this.state.placement = { cameras: message.cameras, bodies: message.bodies };
      this.emit("placement", this.state.placement);
    } else if (message.type === "job" && this.state) {
      this.state.job = message.job;
      this.emit("job", message.job);
    } else {
      this.emit(message.type, message);
    }
  }

  /** @param {Frame} frame */
  receiveFrame(frame) {
    this.frames.set(frame.key, frame);
    this.emit("frame", frame);
    this.emit(`frame:${frame.key}`, frame);
  }
}
