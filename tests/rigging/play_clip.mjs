// three.js loads a GLB from disk and plays its first clip: node play_clip.mjs FILE TIME... -> one JSON line: at each time the joints' places in
// the world and, as the mesh is drawn, every 97th vertex of the first skinned mesh.
import { readFile } from "node:fs/promises";
import * as THREE from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";

globalThis.self = globalThis;
const [path, ...times] = process.argv.slice(2);
const bytes = await readFile(path);
const loader = new GLTFLoader();
const gltf = await loader.parseAsync(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength), "");
const mixer = new THREE.AnimationMixer(gltf.scene);
const clip = gltf.animations[0];
const action = mixer.clipAction(clip);
action.setLoop(THREE.LoopOnce);
action.clampWhenFinished = true;
action.play();
function vertices() {
  let mesh;
  gltf.scene.traverse((node) => { mesh ??= node.isSkinnedMesh ? node : undefined; });
  const found = [];
  for (let k = 0; k < mesh.geometry.attributes.position.count; k += 97) {
    found.push(mesh.getVertexPosition(k, new THREE.Vector3()).applyMatrix4(mesh.matrixWorld).toArray());
  }
  return found;
}

const frames = times.map((time) => {
  action.paused = false;
  mixer.setTime(Number(time));
  gltf.scene.updateMatrixWorld(true);
  const places = {};
  gltf.scene.traverse((node) => {
    const index = gltf.parser.associations.get(node)?.nodes;
    if (index === undefined) return;
    // three drops signs such as ":" from names; the file's own name is in the JSON
    places[gltf.parser.json.nodes[index].name ?? `node ${index}`] = new THREE.Vector3().setFromMatrixPosition(node.matrixWorld).toArray();
  });
  return { places, vertices: vertices() };
});
console.log(JSON.stringify({ duration: clip.duration, tracks: clip.tracks.length, frames }));
