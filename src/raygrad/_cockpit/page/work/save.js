import { ask } from "../shell/dialog.js";
import { say, tell } from "../shell/messages.js";

/** @typedef {import("../app.js").App} App */

/**
 * What a command that writes a file answers: where it is, that there is one already, or what to ask for.
 * @typedef {{path?: string, exists?: string, download?: {key: string, name: string, size: number}}} Written
 */

/**
 * Do something; what is wrong with it becomes a message.
 * @template T
 * @param {() => Promise<T>} act
 * @returns {Promise<T | null>}
 */
export async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error));
    return null;
  }
}

/**
 * Write a file: to the folder that was given, asking before one is replaced, or as a download.
 * @param {App} app
 * @param {string} command
 * @param {Record<string, any>} args
 */
export async function write(app, command, args) {
  await attempt(async () => {
    /** @type {Written} */
    let written = await app.connection.call(command, args);
    if (written.exists !== undefined) {
      const text = `There is a ${written.exists} in the folder already.`;
      if (!(await ask({ title: "Replace the file?", text, yes: "Replace", danger: true }))) return;
      written = await app.connection.call(command, { ...args, replace: true });
    }
    if (written.download) {
      const { key, name, size } = written.download;
      offer(await fetched(app, key, size), name);
      say(`Downloaded ${name}.`);
    } else {
      say(`Wrote ${written.path}.`);
    }
  });
}

/**
 * The bytes of a file that was made to be downloaded.
 * @param {App} app
 * @param {string} key
 * @param {number} size
 */
async function fetched(app, key, size) {
  /** @type {BlobPart[]} */
  const parts = [];
  let start = 0;
  do {
    const text = atob(await app.connection.call("download", { key, start }));
    parts.push(Uint8Array.from(text, (character) => character.charCodeAt(0)));
    start += text.length;
  } while (start < size);
  return new Blob(parts);
}

/**
 * Let the browser save something.
 * @param {Blob} blob
 * @param {string} name
 */
export function offer(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
