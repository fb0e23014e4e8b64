import { BufferAttribute, BufferGeometry, CatmullRomCurve3, Group, LineBasicMaterial, LineSegments, Mesh, MeshBasicMaterial, MeshLambertMaterial, SphereGeometry, TubeGeometry, Vector3 } from "../vendor/three/three.module.min.js";
import { beamColour } from "../slices/colours.js";
import { beginOfRay, cornersOf, matrixOf } from "./geometry.js";
import { Picture, paintGreys } from "./shapes.js";

/** @typedef {import("../types.js").Frame} Frame */
/** @typedef {import("../types.js").Intrinsics} Intrinsics */
/** @typedef {import("../types.js").Matrix} Matrix */

const ARC_POINTS = 24;

/** One view: its source, its beam, its detector with the X-ray on it, and an arc that holds both. */
export class Beam extends Group {
  /** @param {number} view */
  constructor(view) {
    super();
    const colour = beamColour(view);
    this.detector = new Picture(document.createElement("canvas"));
    this.detector.userData.view = view;
    this.source = new Mesh(new SphereGeometry(14, 20, 12), new MeshBasicMaterial({ color: colour }));
    const lines = new BufferGeometry();
    lines.setAttribute("position", new BufferAttribute(new Float32Array(8 * 6), 3));
    this.edges = new LineSegments(lines, new LineBasicMaterial({ color: colour, transparent: true, opacity: 0.7 }));
    this.arc = new Mesh(new BufferGeometry(), new MeshLambertMaterial({ color: 0x8693a3, transparent: true, opacity: 0.6, depthWrite: false }));
    this.add(this.detector, this.source, this.edges, this.arc);
    this.where = "";
    this.hasSource = true;
  }

  /** @param {Frame} frame of the X-ray, or of the DRR */
  show(frame) {
    paintGreys(frame, this.detector.canvas);
    this.detector.refresh();
  }

  /**
   * @param {Matrix} cameraToWorld
   * @param {Intrinsics} intrinsics
   */
  place(cameraToWorld, intrinsics) {
    const where = JSON.stringify([cameraToWorld, intrinsics]);
    if (where === this.where) return;
    this.where = where;
    const toWorld = matrixOf(cameraToWorld);
    const inCamera = cornersOf(intrinsics);
    const ends = inCamera.map((corner) => corner.clone().applyMatrix4(toWorld));
    const begins = inCamera.map((corner) => beginOfRay(intrinsics, corner).applyMatrix4(toWorld));
    this.detector.span(ends);
    const positions = this.edges.geometry.getAttribute("position");
    ends.forEach((end, i) => {
      const next = ends[(i + 1) % 4];
      [begins[i], end, end, next].forEach((point, j) => positions.setXYZ(4 * i + j, point.x, point.y, point.z));
    });
    positions.needsUpdate = true;
    this.edges.geometry.computeBoundingSphere();
    this.hasSource = !intrinsics.parallel;
    this.source.position.copy(begins[0]);
    this.bend(middleOf(begins), middleOf(ends), new Vector3().setFromMatrixColumn(toWorld, 1));
  }

  /** The corners of all that is seen of it. */
  points() {
    return [this.edges, this.arc].filter((one) => one.visible).flatMap((one) => {
      const positions = one.geometry.getAttribute("position");
      return positions ? Array.from({ length: positions.count }, (_, i) => new Vector3().fromBufferAttribute(positions, i)) : [];
    });
  }

  /**
   * The arc goes half around the middle of the beam, in the plane across the columns of the image.
   * @param {Vector3} source
   * @param {Vector3} detector
   * @param {Vector3} up
   */
  bend(source, detector, up) {
    const half = detector.clone().sub(source).multiplyScalar(0.5);
    const middle = source.clone().add(half);
    const aside = half.clone().cross(up).normalize().multiplyScalar(half.length());
    const points = Array.from({ length: ARC_POINTS + 1 }, (_, i) => {
      const angle = (Math.PI * i) / ARC_POINTS;
      return middle.clone().addScaledVector(half, -Math.cos(angle)).addScaledVector(aside, Math.sin(angle));
    });
    this.arc.geometry.dispose();
    this.arc.geometry = new TubeGeometry(new CatmullRomCurve3(points), 2 * ARC_POINTS, half.length() / 50, 8);
  }
}

/** @param {Vector3[]} points */
function middleOf(points) {
  return points.reduce((sum, point) => sum.addScaledVector(point, 1 / points.length), new Vector3());
}
