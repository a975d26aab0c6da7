// Khronos glTF validator over files: node validate.mjs FILE... -> one JSON line a file: name, counts, and the messages that are errors.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { validateBytes } from "gltf-validator";

for (const path of process.argv.slice(2)) {
  const report = await validateBytes(new Uint8Array(await readFile(path)), { maxIssues: 0, ignoredIssues: [] });
  const { numErrors, numWarnings, messages } = report.issues;
  const errors = messages.filter((message) => message.severity === 0).map((m) => `${m.code} ${m.pointer ?? ""}: ${m.message}`);
  const codes = {};
  for (const message of messages) codes[message.code] = (codes[message.code] ?? 0) + 1;
  console.log(JSON.stringify({ file: basename(path), errors: numErrors, warnings: numWarnings, codes, messages: errors.slice(0, 20) }));
}
