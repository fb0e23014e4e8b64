import { Matrix4, Object3D, Quaternion, Vector3 } from "../vendor/three/three.module.min.js";
import { TransformControls } from "../vendor/three/TransformControls.js";
import { matrixOf, rowsOf } from "./geometry.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("./stage.js").Stage} Stage */

/** Handles at the middle of the selected body, along and about the world's axes, that move it. */
export class Gizmo {
  /**
   * @param {Stage} stage
   * @param {App} app
   * @param {(name: string) => Vector3 | null} middleOf a body, in its own frame
   * @param {(text: string) => void} say how far it was moved
   */
  constructor(stage, app, middleOf, say) {
    this.app = app;
    this.middleOf = middleOf;
    this.say = say;
    this.pivot = new Object3D();
    this.begin = new Matrix4();
    this.body = new Matrix4();
    this.name = "CT";
    this.controls = new TransformControls(stage.camera, stage.canvas);
    this.controls.setSpace("world");
    this.controls.setSize(1.1);
    stage.scene.add(this.pivot, this.controls.getHelper());
    this.controls.addEventListener("change", () => stage.request());
    this.controls.addEventListener("dragging-changed", (event) => {
      stage.controls.enabled = !event.value;
      if (event.value) this.grab();
      else this.drop();
    });
    this.controls.addEventListener("objectChange", () => this.move());
    this.mode("");
  }

  /** @param {string} mode "translate", "rotate", or "" for none */
  mode(mode) {
    if (mode) this.controls.setMode(/** @type {"translate"} */ (mode));
    if (mode) this.controls.attach(this.pivot);
    else this.controls.detach();
    this.follow();
  }

  /** Go where the body is, unless it is the handles that move it. */
  follow() {
    const { state } = this.app.store;
    if (!state || this.controls.dragging) return;
    const toWorld = state.placement.bodies[state.selected];
    const middle = this.middleOf(state.selected);
    if (!toWorld || !middle) return;
    this.pivot.position.copy(middle.applyMatrix4(matrixOf(toWorld)));
    this.pivot.quaternion.identity();
    this.pivot.updateMatrixWorld();
  }

  grab() {
    const { state } = this.app.store;
    if (!state) return;
    this.name = state.selected;
    this.body.copy(matrixOf(state.placement.bodies[this.name]));
    this.pivot.updateMatrix();
    this.begin.copy(this.pivot.matrix).invert();
    this.app.connection.send("grab");
  }

  move() {
    this.pivot.updateMatrix();
    const motion = this.pivot.matrix.clone().multiply(this.begin);
    this.app.connection.send("move_body", { body: this.name, body_to_world: rowsOf(motion.clone().multiply(this.body)) });
    this.say(`${this.name}: ${this.inWords(motion)}`);
  }

  drop() {
    this.app.connection.send("drop", { what: this.controls.mode === "rotate" ? "Turn in the scene" : "Move in the scene" });
    this.follow();
  }

  /** @param {Matrix4} motion of the world */
  inWords(motion) {
    if (this.controls.mode === "rotate") {
      const angle = 2 * Math.acos(Math.min(1, Math.abs(new Quaternion().setFromRotationMatrix(motion).w)));
      return `turned by ${((180 / Math.PI) * angle).toFixed(1)}°`;
    }
    const { x, y, z } = new Vector3().setFromMatrixPosition(motion);
    return `moved by x ${x.toFixed(1)}, y ${y.toFixed(1)}, z ${z.toFixed(1)} mm`;
  }
}
