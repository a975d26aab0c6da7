// three-vrm loads a .vrm from disk: node load_vrm.mjs FILE -> one JSON line: the version, who made it, and where each human bone stands.
import { readFile } from "node:fs/promises";
import * as THREE from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";

globalThis.self = globalThis;
const bytes = await readFile(process.argv[2]);
const loader = new GLTFLoader();
loader.register((parser) => {
  parser.loadTexture = async () => new THREE.Texture(); // pictures need a browser, and bones do not need pictures
  return new VRMLoaderPlugin(parser);
});
const gltf = await loader.parseAsync(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength), "");
const vrm = gltf.userData.vrm;
vrm.scene.updateMatrixWorld(true);
const bones = {};
for (const [name, bone] of Object.entries(vrm.humanoid.rawHumanBones)) {
  bones[name] = new THREE.Vector3().setFromMatrixPosition(bone.node.matrixWorld).toArray();
}
// bend the left elbow as an application does, through the normalised bones, and see where the hand goes
vrm.humanoid.getNormalizedBoneNode("leftLowerArm").rotation.set(0, -Math.PI / 2, 0);
vrm.humanoid.update();
vrm.scene.updateMatrixWorld(true);
const bent = new THREE.Vector3().setFromMatrixPosition(vrm.humanoid.getRawBoneNode("leftHand").matrixWorld).toArray();
console.log(JSON.stringify({ version: vrm.meta.metaVersion, meta: vrm.meta, bones, bent }));
