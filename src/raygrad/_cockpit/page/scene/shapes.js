import { BufferAttribute, BufferGeometry, CanvasTexture, DoubleSide, LineBasicMaterial, LineLoop, Mesh, MeshBasicMaterial, SRGBColorSpace } from "../vendor/three/three.module.min.js";

/** @typedef {import("../vendor/three/three.module.min.js").Vector3} Vector3 */
/** @typedef {import("../types.js").Frame} Frame */

const EDGE = 0x7d8ea1;
/** Of the brightness, linear: what is darker is not there. */
const DARK = 0.003;

/** A picture in space: its corners are put where row 0 and column 0 are, so that nothing can be mirrored by a rotation. */
export class Picture extends Mesh {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {boolean} [cutOut] one sees through what is black, and a line goes around it all
   */
  constructor(canvas, cutOut = false) {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(12), 3));
    geometry.setAttribute("uv", new BufferAttribute(new Float32Array([0, 1, 1, 1, 1, 0, 0, 0]), 2));
    geometry.setIndex([0, 1, 2, 0, 2, 3]);
    super(geometry, new MeshBasicMaterial({ side: DoubleSide }));
    this.canvas = canvas;
    this.cutOut = cutOut;
    if (!cutOut) return;
    const around = new BufferGeometry();
    around.setAttribute("position", geometry.getAttribute("position"));
    const line = new LineLoop(around, new LineBasicMaterial({ color: EDGE, transparent: true, opacity: 0.6 }));
    line.frustumCulled = false;
    this.add(line);
  }

  /**
   * @param {Vector3[]} corners of pixel (0, 0), of the end of the first row, of the end of the last, of the first column's end
   */
  span(corners) {
    const positions = this.geometry.getAttribute("position");
    corners.forEach((corner, i) => positions.setXYZ(i, corner.x, corner.y, corner.z));
    positions.needsUpdate = true;
    this.geometry.computeBoundingSphere();
  }

  /** Show what is on the canvas now. */
  refresh() {
    const material = /** @type {MeshBasicMaterial} */ (this.material);
    const { map } = material;
    if (map && map.userData.size === `${this.canvas.width} ${this.canvas.height}`) {
      map.needsUpdate = true;
      return;
    }
    map?.dispose(); // a texture cannot change its size
    const texture = new CanvasTexture(this.canvas);
    texture.colorSpace = SRGBColorSpace;
    texture.userData.size = `${this.canvas.width} ${this.canvas.height}`;
    material.map = texture;
    if (this.cutOut) [material.alphaMap, material.alphaTest] = [texture, DARK];
    material.needsUpdate = true;
  }
}

/**
 * A surface as `mesh_frame` writes it.
 * @param {Frame} frame
 */
export function geometryOf(frame) {
  const n = frame.vertices ?? 0;
  const { array } = frame;
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(array.buffer, array.byteOffset, 3 * n), 3));
  geometry.setIndex(new BufferAttribute(/** @type {Uint32Array} */ (array.subarray(3 * n)), 1));
  geometry.computeVertexNormals();
  geometry.computeBoundingSphere();
  return geometry;
}

/**
 * An X-ray or a DRR on a canvas, from its lowest to its highest number.
 * @param {Frame} frame
 * @param {HTMLCanvasElement} canvas
 */
export function paintGreys(frame, canvas) {
  const [height, width] = frame.shape;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = 0xff000000 | ((frame.array[i] >> 8) * 0x10101);
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}
