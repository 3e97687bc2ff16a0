import { type Need, needing } from "../../ffi/testing/needs.ts";
import { buildPayload, COMPILER_VERSION, compilerVersion } from "./build.ts";
import { readPayload } from "./payload.ts";

const version = await compilerVersion();

/** The compiler of the committed bytes; none at all is another reason. */
const COMPILER: Need = {
  missing: () =>
    version === null || version === COMPILER_VERSION
      ? ""
      : `gcc is ${version}, not ${COMPILER_VERSION}`,
};

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

Deno.test(needing(["gcc", COMPILER], {
  name: "payload: the committed ELF is what its sources build, byte for byte",
  async fn(): Promise<void> {
    const directory = await Deno.makeTempDir({ prefix: "vireo-payload-" });
    try {
      await buildPayload(`${directory}/payload.elf`);
      const built = await Deno.readFile(`${directory}/payload.elf`);
      if (!sameBytes(built, await readPayload())) {
        throw new Error(
          "payload.elf is stale: deno run -A images/payload/build.ts",
        );
      }
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
}));
