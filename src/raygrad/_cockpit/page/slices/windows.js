/**
 * Windows: which HU are black and white.
 *
 * @typedef {Object} Window
 * @property {number} level the grey in the middle
 * @property {number} width from black to white
 */

/** What people call them. @type {Record<string, Window>} */
export const WINDOWS = {
  "Soft tissue": { level: 50, width: 400 },
  Mediastinum: { level: 50, width: 350 },
  Lung: { level: -600, width: 1500 },
  Bone: { level: 400, width: 1800 },
  Brain: { level: 40, width: 80 },
  "Whole range": { level: 1000, width: 4048 },
};

/**
 * The colour of each number of 16 bits, from -32768 up, as little-endian RGBA.
 * @param {Window} window
 */
export function levels({ level, width }) {
  const table = new Uint32Array(65536);
  const scale = 255 / Math.max(width, 1);
  const low = level - width / 2;
  for (let i = 0; i < table.length; i++) {
    const grey = Math.max(0, Math.min(255, Math.round((i - 32768 - low) * scale)));
    table[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  return table;
}
