/**
 * What server and page say to each other. `_session.py` makes the state, `_frame.py` the frames.
 *
 * @typedef {number[][]} Matrix 4 x 4, row by row, of column vectors (x, y, z, 1) in mm
 *
 * @typedef {Object} Intrinsics
 * @property {number} sdd
 * @property {number} height
 * @property {number} width
 * @property {number} delx
 * @property {number} dely
 * @property {number} x0
 * @property {number} y0
 * @property {boolean} reverse_x_axis
 * @property {boolean} parallel
 *
 * @typedef {Object} ViewState
 * @property {string} name
 * @property {Intrinsics} intrinsics
 * @property {string} hidden
 * @property {boolean} masked
 * @property {boolean} linked whether it is known how it stands to the other views
 *
 * @typedef {Object} Placement
 * @property {Matrix[]} cameras camera_to_world of each view: source at the origin, detector at z = sdd
 * @property {Record<string, Matrix>} bodies body_to_world of each body
 *
 * @typedef {Object} JobState
 * @property {string} name
 * @property {number} seconds
 * @property {string} [text]
 * @property {number} [share]
 *
 * @typedef {Object} FoundState what a registration found, of some of the views
 * @property {string} name of what was asked for
 * @property {number[]} views
 * @property {string} status
 * @property {"good" | "warn" | "bad"} kind
 * @property {string} text what that means, and what to do
 * @property {number | null} score
 * @property {number} seconds
 * @property {boolean} fresh whether everything is still where it was put
 * @property {{name: string, score: number | null}[]} others other poses that fit
 * @property {string | null} advice
 * @property {string[]} lengths what was found of the geometry, a line a view
 * @property {string | null} response
 * @property {{name: string, text: string}[]} bodies what became of each, where there are several
 * @property {string[]} warned
 *
 * @typedef {Object} BodyState
 * @property {string} name
 * @property {"ct" | "structure" | "implant"} kind
 * @property {boolean} free whether a registration moves it
 * @property {[number, number, number]} middle in its own frame, mm
 * @property {[number, number] | null} moved in the CT from where it was at first: mm, degrees
 * @property {string} [of] its material
 *
 * @typedef {Object} Motion
 * @property {string} name
 * @property {string} words
 * @property {number | null} half of what it lies within with 95 %
 * @property {string} unit
 *
 * @typedef {Object} Ellipse of 95 %, in pixels (u, v) of a view
 * @property {[number, number]} centre
 * @property {[number, number]} axes half lengths
 * @property {number} angle of the first axis, in radians from u to v
 * @property {[number, number][]} weakest both ends of the motion that is known least
 *
 * @typedef {Object} Certainty
 * @property {string} text
 * @property {Motion[]} motions
 * @property {(Ellipse | null)[]} views
 *
 * @typedef {Object} Landscape the similarity of a view over two directions
 * @property {number} view
 * @property {string[]} directions
 * @property {string[]} labels
 * @property {number[][]} deviations of each direction
 * @property {(number | null)[][]} scores by the first direction, then the second
 * @property {number} here
 * @property {[number, number]} best deviations
 * @property {boolean} fresh whether everything is still in its middle
 *
 * @typedef {Object} State
 * @property {Landscape | null} landscape the one that was computed last
 * @property {{unknowns: string[], response: string, typed: string | null, found: FoundState[]}} registering `typed`: of --search
 * @property {Certainty | null} certainty of where everything is now, where that is known
 * @property {{name: string, shape: number[], voxel_to_world: Matrix, orientation: string | null}} ct
 * @property {ViewState[]} views
 * @property {Placement} placement
 * @property {number[]} centre of the selected body in the world
 * @property {string} selected
 * @property {{list: BodyState[], structures: Record<string, string>}} bodies all of them; and by their labels those structures that can be
 *   taken out of the CT
 * @property {string[]} locked
 * @property {{undo: string | null, redo: string | null}} history
 * @property {JobState | null} job
 * @property {{folder: string | null, out: string | null, readable: boolean}} files what may be opened and written
 * @property {{path: string | null, at: number | null}} saving the file that keeps the session by itself
 * @property {{number: number, name: string, similarity: (number | null)[]}[]} snapshots
 * @property {SlicesState} slices
 * @property {Record<string, number[][][]>} outlines of each view's beam in each plane: corners (u, v) in its pixels
 * @property {Record<string, {level: number, making: boolean}>} surfaces the HU of each, and whether it is being made
 *
 * @typedef {Object} SlicesState of the CT in RAS+ order
 * @property {number[]} indices the voxel of the crosshair
 * @property {number[]} shape
 * @property {Matrix} voxel_to_world
 * @property {boolean} labelled
 * @property {Record<string, {name: string, colour: string}>} structures by label
 *
 * @typedef {Object} Frame
 * @property {string} key
 * @property {number} number
 * @property {number[]} shape
 * @property {string} dtype
 * @property {number} low of 16-bit greys: the number that 0 stands for
 * @property {number} high and 65535
 * @property {Uint8Array | Uint16Array | Int16Array | Uint32Array | Float32Array} array
 * @property {number} [view]
 * @property {number} [vertices] of a surface: the array is 3 n float32, bit by bit, then the triangles
 * @property {number | null} [similarity]
 * @property {boolean} [fine]
 * @property {{client: number, sequence: number} | null} [answers] the newest request of a hand that it shows: `Connection.client` and its number
 *
 * @typedef {Object} Cursor where a person points: a pixel of a view, or a point of the world
 * @property {number} [view]
 * @property {[number, number]} [pixel] (u, v) in the view's own grid
 * @property {[number, number, number]} [point] in the world, mm
 */
export {};
