// Checks an OpenAPI document by Spectral's own ruleset: `node spectral.js FILE` prints each finding.
// The command of Spectral has twice as many dependencies, of which none would be used.
import { readFile } from "node:fs/promises";
import core from "@stoplight/spectral-core";
import parsers from "@stoplight/spectral-parsers";
import rulesets from "@stoplight/spectral-rulesets";

const spectral = new core.Spectral();
spectral.setRuleset({
  extends: [rulesets.oas],
  // each installation has an operator of its own, whom the program does not know
  rules: { "info-contact": "off" },
});
const [file] = process.argv.slice(2);
const found = await spectral.run(new core.Document(await readFile(file, "utf8"), parsers.Json, file));
for (const { code, message, path } of found) console.log(`${code}: ${message} at ${path.join("/")}`);
