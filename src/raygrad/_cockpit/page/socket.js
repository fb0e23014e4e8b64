import "./types.js";

/** @typedef {import("./store.js").Store} Store */

const ARRAYS = { uint8: Uint8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array, float32: Float32Array };
const LONGEST_WAIT_MS = 5000;

/** The websocket: commands out, messages and images in. It comes back by itself, and the server tells all anew. */
export class Connection {
  /**
   * @param {Store} store
   * @param {string} token
   */
  constructor(store, token) {
    this.store = store;
    this.token = token;
    this.wait = 250;
    this.number = 0;
    /** What the server calls this page; images say whose request they answer. */
    this.client = 0;
    /** @type {Map<string, {args: Record<string, any>, resolve: (result: any) => void, reject: (error: Error) => void} | null>} */
    this.newest = new Map();
    /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */
    this.asked = new Map();
    /** @type {WebSocket | null} */
    this.socket = null;
    this.open();
  }

  open() {
    const socket = new WebSocket(`ws://${location.host}/socket`, ["raygrad", `token.${this.token}`]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.wait = 250;
      this.store.emit("connection", true);
    };
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = () => {
      for (const { reject } of this.asked.values()) reject(new Error("The connection was lost."));
      this.asked.clear();
      this.store.emit("connection", false);
      setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(2 * this.wait, LONGEST_WAIT_MS);
    };
  }

  /**
   * Do something, and wait for no answer. What waits on the server and adds up, such as drags, is done at once there.
   * @param {string} name
   * @param {Record<string, any>} [args]
   */
  send(name, args = {}) {
    if (this.socket?.readyState === WebSocket.OPEN) this.say({ do: name, arguments: args, sequence: ++this.number });
  }

  /** @param {Record<string, any>} message */
  say(message) {
    this.socket?.send(JSON.stringify(message));
  }

  /**
   * Do something, and wait for what it gives.
   * @param {string} name
   * @param {Record<string, any>} [args]
   * @returns {Promise<any>}
   */
  call(name, args = {}) {
    if (this.socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error("There is no connection."));
    const id = ++this.number;
    this.say({ do: name, arguments: args, id, sequence: id });
    return new Promise((resolve, reject) => this.asked.set(id, { resolve, reject }));
  }

  /**
   * As `call`, for what follows the pointer: one at a time of each name. Of those that wait meanwhile only the newest is
   * done, and the others give undefined.
   * @param {string} name
   * @param {Record<string, any>} [args]
   * @returns {Promise<any>}
   */
  callNewest(name, args = {}) {
    if (this.newest.has(name)) {
      this.newest.get(name)?.resolve(undefined);
      return new Promise((resolve, reject) => this.newest.set(name, { args, resolve, reject }));
    }
    this.newest.set(name, null);
    return this.call(name, args).finally(() => {
      const next = this.newest.get(name);
      this.newest.delete(name);
      if (next) this.callNewest(name, next.args).then(next.resolve, next.reject);
    });
  }

  /** @param {string | ArrayBuffer} data */
  receive(data) {
    if (typeof data !== "string") {
      const frame = decode(data);
      this.store.receiveFrame(frame);
      this.say({ do: "seen", number: frame.number });
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "welcome") this.client = message.client;
    if (message.type !== "reply") {
      this.store.receive(message);
      return;
    }
    const waiting = this.asked.get(message.id);
    this.asked.delete(message.id);
    if ("error" in message) waiting?.reject(new Error(message.error));
    else waiting?.resolve(message.result);
  }
}

/**
 * A frame as `_frame.py` writes it.
 * @param {ArrayBuffer} data
 * @returns {import("./types.js").Frame}
 */
export function decode(data) {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const kind = ARRAYS[/** @type {keyof typeof ARRAYS} */ (header.dtype)];
  return { ...header, array: new kind(data, 4 + length) };
}
