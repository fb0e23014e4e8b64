import { BufferAttribute, BufferGeometry, CanvasTexture, LineBasicMaterial, LineSegments, PerspectiveCamera, Scene, Sprite, SpriteMaterial } from "../vendor/three/three.module.min.js";

/** @typedef {import("../vendor/three/three.module.min.js").WebGLRenderer} WebGLRenderer */

/** The ends of the patient's axes, in the world. @type {[string, number, number, number][]} */
const ENDS = [["R", 1, 0, 0], ["L", -1, 0, 0], ["A", 0, 1, 0], ["P", 0, -1, 0], ["H", 0, 0, 1], ["F", 0, 0, -1]];
const COLOURS = ["#ff8a80", "#8fd694", "#82b1ff"];
const SIZE_PX = 92;

/** Which way the patient lies: letters at the ends of the axes, in a corner. */
export class Compass {
  constructor() {
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(30, 1, 0.1, 20);
    ENDS.forEach(([letter, x, y, z], i) => {
      const colour = COLOURS[i >> 1];
      const line = new BufferGeometry();
      line.setAttribute("position", new BufferAttribute(new Float32Array([0, 0, 0, 0.75 * x, 0.75 * y, 0.75 * z]), 3));
      const sprite = new Sprite(new SpriteMaterial({ map: letterOf(letter, colour), depthTest: false }));
      sprite.position.set(x, y, z);
      sprite.scale.setScalar(0.55);
      this.scene.add(new LineSegments(line, new LineBasicMaterial({ color: colour })), sprite);
    });
  }

  /**
   * @param {WebGLRenderer} renderer
   * @param {PerspectiveCamera} from whose direction it has
   */
  render(renderer, from) {
    this.camera.quaternion.copy(from.quaternion);
    this.camera.position.set(0, 0, 5.2).applyQuaternion(from.quaternion);
    renderer.setScissorTest(true);
    renderer.setScissor(4, 4, SIZE_PX, SIZE_PX);
    renderer.setViewport(4, 4, SIZE_PX, SIZE_PX);
    renderer.clearDepth();
    renderer.render(this.scene, this.camera);
    renderer.setScissorTest(false);
  }
}

/**
 * @param {string} letter
 * @param {string} colour
 */
function letterOf(letter, colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d");
  if (context) {
    context.font = "700 48px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 8;
    context.strokeStyle = "#000";
    context.strokeText(letter, 32, 34);
    context.fillStyle = colour;
    context.fillText(letter, 32, 34);
  }
  return new CanvasTexture(canvas);
}
