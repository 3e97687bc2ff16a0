import { buildPayload, COMPILER_VERSION, compilerVersion } from "./build.ts";
import { readPayload } from "./payload.ts";

const version = await compilerVersion();
const reason = version === null
  ? " (ignored: no gcc)"
  : version !== COMPILER_VERSION
  ? ` (ignored: gcc ${version} is not ${COMPILER_VERSION})`
  : "";

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

Deno.test({
  name:
    `payload: the committed ELF is what its sources build, byte for byte${reason}`,
  ignore: reason !== "",
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
});
