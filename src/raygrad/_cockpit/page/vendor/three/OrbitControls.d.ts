// By the path in the package, not by its name for it: only so do typeRoots lead there.
export * from "three/examples/jsm/controls/OrbitControls";
