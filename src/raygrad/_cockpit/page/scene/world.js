import { BufferAttribute, BufferGeometry, LineBasicMaterial, LineSegments, Mesh, MeshBasicMaterial, Raycaster, SphereGeometry, Vector2, Vector3 } from "../vendor/three/three.module.min.js";
import { element } from "../shell/dom.js";
import { Beam } from "./beam.js";
import { SceneControls } from "./controls.js";
import { beginOfRay, matrixOf, onDetector } from "./geometry.js";
import { Gizmo } from "./gizmo.js";
import { Bodies, Patient } from "./patient.js";
import { Stage } from "./stage.js";

/** @typedef {import("../app.js").App} App */
/** @typedef {import("../slices/model.js").Slices} Slices */
/** @typedef {import("../types.js").Cursor} Cursor */
/** @typedef {import("../types.js").State} State */

const CLICK_PX = 4;

/** All that stands in the scene, and what a person does with it. */
export class World {
  /**
   * @param {HTMLElement} body of the panel
   * @param {HTMLElement} extra at its heading: for what is said
   * @param {App} app
   * @param {Slices} slices
   */
  constructor(body, extra, app, slices) {
    this.app = app;
    this.slices = slices;
    this.host = element("div", {
      class: "scene-view", tabindex: 0, role: "application",
      "aria-label": "Scene in space: arrow keys turn it, plus and minus go nearer and farther",
    });
    body.append(this.host);
    this.stage = new Stage(this.host);
    this.patient = new Patient(slices);
    this.bodies = new Bodies();
    /** @type {Beam[]} */
    this.beams = [];
    this.point = new Mesh(new SphereGeometry(5, 16, 10), new MeshBasicMaterial({ color: 0xff6b6b, depthTest: false }));
    this.point.visible = false;
    this.ray = new LineSegments(new BufferGeometry(), new LineBasicMaterial({ color: 0xff6b6b, depthTest: false }));
    this.ray.geometry.setAttribute("position", new BufferAttribute(new Float32Array(6), 3));
    this.ray.visible = false;
    this.ray.frustumCulled = false;
    this.point.renderOrder = this.ray.renderOrder = 2;
    this.stage.scene.add(this.patient, this.bodies, this.point, this.ray);
    this.controls = new SceneControls(this);
    body.append(this.controls.bar);
    extra.append(this.controls.said);
    this.gizmo = new Gizmo(this.stage, app, (name) => this.middleOf(name), (text) => this.controls.say(text));
    this.fitted = false;
    this.listen();
  }

  listen() {
    const { store } = this.app;
    store.on("state", () => this.tellState());
    store.on("placement", () => this.place());
    store.on("crosshair", () => this.change(() => this.patient.cut()));
    store.on("painted", (plane) => this.change(() => this.patient.painted(plane)));
    store.on("surfaces", ({ surfaces }) => {
      if (store.state) store.state.surfaces = surfaces;
      this.controls.tell();
    });
    store.on("cursor", (cursor) => this.change(() => this.showCursor(cursor)));
    store.on("frame", (frame) => this.receive(frame));
    if (store.state) this.tellState();
    for (const frame of store.frames.values()) this.receive(frame);
    for (const plane of Object.keys(this.patient.pictures)) if (this.slices.canvases[plane].width > 1) this.patient.painted(plane);
    let begin = [0, 0];
    this.host.addEventListener("pointerdown", (event) => {
      begin = [event.clientX, event.clientY];
      this.host.focus({ preventScroll: true });
    });
    this.host.addEventListener("click", (event) => {
      if (Math.hypot(event.clientX - begin[0], event.clientY - begin[1]) < CLICK_PX) this.pick(event, false);
    });
    this.host.addEventListener("dblclick", (event) => this.pick(event, true));
  }

  /**
   * Do something, and draw it.
   * @param {() => void} what
   */
  change(what) {
    what();
    this.stage.request();
  }

  /** @param {import("../types.js").Frame} frame */
  receive(frame) {
    const [kind, ...rest] = frame.key.split(" ");
    const name = rest.join(" ");
    const wanted = this.controls.shows("drr") ? "drr" : "xray";
    if (kind === wanted) this.beams[Number(name)]?.show(frame);
    else if (kind === "surface") this.patient.surface(name, frame);
    else if (kind === "mesh") this.bodies.show(frame);
    else return;
    if (kind === "mesh") this.place();
    this.stage.request();
  }

  tellState() {
    const { state, frames } = this.app.store;
    if (!state) return;
    for (let view = this.beams.length; view < state.views.length; view++) {
      const beam = new Beam(view);
      this.beams.push(beam);
      this.stage.scene.add(beam);
      const frame = frames.get(`xray ${view}`);
      if (frame) this.receive(frame);
    }
    this.patient.cut();
    this.place();
    this.controls.tell();
    if (!this.fitted) this.look("all");
    this.fitted = true;
  }

  place() {
    const { state } = this.app.store;
    if (!state) return;
    this.beams.forEach((beam, view) => {
      const seen = state.views[view]; // none of one that was closed
      if (seen) beam.place(state.placement.cameras[view], seen.intrinsics);
    });
    this.patient.place(state.placement);
    this.bodies.place(state.placement, state.selected);
    this.gizmo.follow();
    this.stage.follow();
  }

  /** The images on the detectors: X-rays or DRRs. */
  refresh() {
    const kind = this.controls.shows("drr") ? "drr" : "xray";
    this.beams.forEach((beam, view) => {
      const frame = this.app.store.frames.get(`${kind} ${view}`);
      if (frame) beam.show(frame);
    });
    this.stage.request();
  }

  /**
   * Look from a side at the patient, or from above at all there is.
   * @param {keyof typeof import("./stage.js").VIEWPOINTS} name
   */
  look(name) {
    const { state } = this.app.store;
    if (!state) return;
    const toWorld = matrixOf(state.placement.bodies.CT).multiply(matrixOf(state.ct.voxel_to_world));
    const [x, y, z] = state.ct.shape;
    const points = [0, 1, 2, 3, 4, 5, 6, 7].map((i) =>
      new Vector3((i & 1 ? x : 0) - 0.5, (i & 2 ? y : 0) - 0.5, (i & 4 ? z : 0) - 0.5).applyMatrix4(toWorld),
    );
    if (name === "all") for (const beam of this.beams) points.push(...beam.points());
    this.stage.look(name, points);
  }

  /**
   * The middle of a body in its own frame.
   * @param {string} name
   */
  middleOf(name) {
    const found = this.app.store.state?.bodies.list.find((one) => one.name === name);
    return found ? new Vector3(...found.middle) : null;
  }

  /**
   * Where a person points: a pixel's ray, or a point of the world.
   * @param {Cursor | null} cursor
   */
  showCursor(cursor) {
    const { state } = this.app.store;
    const { view, pixel, point } = cursor ?? {};
    this.point.visible = Boolean(point);
    this.ray.visible = Boolean(state && pixel && view !== undefined);
    if (point) this.point.position.set(...point);
    if (!state || !pixel || view === undefined) return;
    const toWorld = matrixOf(state.placement.cameras[view]);
    const { intrinsics } = state.views[view];
    const end = onDetector(intrinsics, pixel[0], pixel[1]);
    const positions = this.ray.geometry.getAttribute("position");
    [beginOfRay(intrinsics, end), end].forEach((one, i) => {
      one.applyMatrix4(toWorld);
      positions.setXYZ(i, one.x, one.y, one.z);
    });
    positions.needsUpdate = true;
  }

  /**
   * Point at what is under the pointer: a pixel of a detector, or a point of the patient.
   * @param {MouseEvent} event
   * @param {boolean} goThere whether the slices go there too
   */
  pick(event, goThere) {
    const { state } = this.app.store;
    if (!state || this.gizmo.controls.axis) return;
    const box = this.host.getBoundingClientRect();
    const caster = new Raycaster();
    caster.setFromCamera(new Vector2((2 * (event.clientX - box.left)) / box.width - 1, 1 - (2 * (event.clientY - box.top)) / box.height), this.stage.camera);
    const inPatient = [...Object.values(this.patient.pictures), this.patient.surfaces.bone, ...this.bodies.meshes.values()];
    const things = [...inPatient, ...this.beams.map((beam) => beam.detector)];
    const hit = caster.intersectObjects(things.filter(isShown), false)[0];
    if (!hit) return;
    const body = [...this.bodies.meshes].find(([, mesh]) => mesh === hit.object)?.[0];
    if (goThere && body) this.app.connection.send("select", { body });
    const { view } = hit.object.userData;
    if (view !== undefined && hit.uv) {
      const { width, height } = state.views[view].intrinsics;
      this.app.store.emit("cursor", { view, pixel: [hit.uv.x * width, (1 - hit.uv.y) * height] });
      return;
    }
    const { x, y, z } = hit.point;
    this.app.store.emit("cursor", { point: [x, y, z] });
    if (goThere) this.slices.look(this.slices.voxelOf([x, y, z]));
  }
}

/** @param {import("../vendor/three/three.module.min.js").Object3D | null} object */
function isShown(object) {
  for (let one = object; one; one = one.parent) if (!one.visible) return false;
  return true;
}
