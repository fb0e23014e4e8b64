// `make lint` installs these types; see the typeRoots of jsconfig.json.
export * from "three";
