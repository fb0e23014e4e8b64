import { Group, Mesh, MeshLambertMaterial, Vector3 } from "../vendor/three/three.module.min.js";
import { PLANES, toVoxel } from "../slices/geometry.js";
import { matrixOf } from "./geometry.js";
import { Picture, geometryOf } from "./shapes.js";

/** @typedef {import("../slices/model.js").Slices} Slices */
/** @typedef {import("../types.js").Frame} Frame */
/** @typedef {import("../types.js").Placement} Placement */

const SURFACES = {
  skin: { color: 0xd9a58a, transparent: true, opacity: 0.22, depthWrite: false },
  bone: { color: 0xefe6cf },
};
const BODY = 0x6cb4ff;
const SELECTED = 0xffd166;

/** The CT where it is now: three slices of it, and the surfaces of skin and bone. */
export class Patient extends Group {
  /** @param {Slices} slices */
  constructor(slices) {
    super();
    this.matrixAutoUpdate = false;
    this.slices = slices;
    /** @type {Record<string, Picture>} */
    this.pictures = {};
    for (const plane of Object.keys(PLANES)) {
      this.pictures[plane] = new Picture(slices.canvases[plane], true);
      this.add(this.pictures[plane]);
    }
    /** @type {Record<string, Mesh>} */
    this.surfaces = {};
    for (const [name, look] of Object.entries(SURFACES)) {
      this.surfaces[name] = new Mesh(undefined, new MeshLambertMaterial(look));
      this.surfaces[name].renderOrder = name === "skin" ? 1 : 0; // what is seen through comes last
      this.add(this.surfaces[name]);
    }
  }

  /** @param {Placement} placement */
  place(placement) {
    put(this, placement.bodies.CT);
  }

  /**
   * The slices are where their voxels are.
   */
  cut() {
    const { state, indices } = this.slices;
    if (!state) return;
    const toWorld = matrixOf(state.voxel_to_world);
    for (const [plane, picture] of Object.entries(this.pictures)) {
      const { columns, rows } = PLANES[plane];
      const [width, height] = [state.shape[columns], state.shape[rows]];
      /** @type {[number, number][]} */
      const pixels = [[0, 0], [width, 0], [width, height], [0, height]];
      picture.span(pixels.map((pixel) => new Vector3(...toVoxel(plane, state.shape, indices, pixel)).applyMatrix4(toWorld)));
    }
  }

  /** @param {string} plane */
  painted(plane) {
    this.pictures[plane].refresh();
  }

  /**
   * @param {string} name
   * @param {Frame} frame
   */
  surface(name, frame) {
    this.surfaces[name].geometry.dispose();
    this.surfaces[name].geometry = geometryOf(frame);
  }
}

/** Structures and implants that have a pose of their own. */
export class Bodies extends Group {
  constructor() {
    super();
    /** @type {Map<string, Mesh>} */
    this.meshes = new Map();
  }

  /** @param {Frame} frame "mesh NAME" */
  show(frame) {
    const name = frame.key.slice("mesh ".length);
    let mesh = this.meshes.get(name);
    if (!mesh) {
      mesh = new Mesh(undefined, new MeshLambertMaterial({ color: BODY }));
      mesh.matrixAutoUpdate = false;
      this.meshes.set(name, mesh);
      this.add(mesh);
    }
    mesh.geometry.dispose();
    mesh.geometry = geometryOf(frame);
  }

  /**
   * @param {Placement} placement
   * @param {string} selected
   */
  place(placement, selected) {
    for (const [name, mesh] of this.meshes) {
      mesh.visible = name in placement.bodies;
      /** @type {MeshLambertMaterial} */ (mesh.material).color.set(name === selected ? SELECTED : BODY);
      if (mesh.visible) put(mesh, placement.bodies[name]);
    }
  }
}

/**
 * @param {import("../vendor/three/three.module.min.js").Object3D} object
 * @param {import("../types.js").Matrix} toWorld
 */
function put(object, toWorld) {
  object.matrix.copy(matrixOf(toWorld));
  object.matrixWorldNeedsUpdate = true;
}
