/** Every format of kernel, with the payload in it, up to its last word. */
import assert from "node:assert/strict";
import type { CompressionFormat } from "../guest/kernel/compression.ts";
import type { KernelEntry } from "../guest/kernel/entry.ts";
import { readPayload } from "../images/payload/payload.ts";
import { KVM, needing } from "../ffi/testing/needs.ts";
import {
  buildBzImage,
  pack,
  packersOf,
  withSize,
} from "../guest/testing/bzimage.ts";
import { runMachine } from "./testing/mod.ts";

const payload = await readPayload();
const LINUX = /^vireo payload: 64-bit Linux boot, 64 MiB .*\npayload: ok/;
const PVH = /^vireo payload: PVH boot, 64 MiB .*\npayload: ok/;

function kvmTest(
  name: string,
  fn: () => Promise<void>,
  programs: string[] = [],
): void {
  Deno.test(needing([KVM, ...programs], { name, fn }));
}

/** What the guest prints until it resets the machine. */
async function outputOf(
  kernel: Uint8Array,
  entry?: KernelEntry,
): Promise<string> {
  const { end, output } = await runMachine({
    "boot-source": {
      kernel_image_path: kernel,
      boot_args: "demo",
      entry,
    },
    "machine-config": { mem_size_mib: 64 },
  });
  assert.deepEqual(end, { reason: "reset" });
  return output;
}

kvmTest(
  "Machine: an ELF kernel is entered at its PVH entry when told so",
  async () => {
    assert.match(await outputOf(payload, "pvh"), PVH);
  },
);

const COMPRESSIONS: CompressionFormat[] = [
  "gzip",
  "xz",
  "lz4",
  "zstd",
  "lzma",
  "bzip2",
  "lzo",
];

for (const compression of COMPRESSIONS) {
  kvmTest(
    `Machine: a bzImage with a payload of ${compression} is unpacked on the host`,
    async () => {
      const packed = await pack(payload, compression);
      const image = buildBzImage({
        payload: withSize(packed, compression, payload.length),
      });
      assert.match(await outputOf(image), LINUX);
      assert.match(await outputOf(image, "pvh"), PVH);
      assert.match(await outputOf(packed), LINUX, "bare");
    },
    packersOf(compression),
  );
}

kvmTest(
  "Machine: a bzImage with an uncompressed payload is taken as it is",
  async () => {
    const bare = new Uint8Array([...payload, 0, 0, 0, 0]);
    const image = buildBzImage({ payload: bare });
    assert.match(await outputOf(image), LINUX);
  },
);

/** Prints the setup header's magic from boot_params, and resets. */
const PRINTS_HDRS = [
  ...[0x66, 0xba, 0xf8, 0x03], // mov dx, 0x3f8
  ...[0x48, 0x81, 0xc6, 0x02, 0x02, 0, 0], // add rsi, 0x202
  ...[0xb9, 4, 0, 0, 0], // mov ecx, 4
  ...[0xfc, 0xf3, 0x6e], // cld; rep outsb
  ...[0xb0, 0xfe, 0xe6, 0x64], // out 0x64, 0xfe
  ...[0xfa, 0xf4], // cli; hlt
];

kvmTest(
  "Machine: a bzImage without a payload, or when told so, is entered itself",
  async () => {
    const code = Uint8Array.from(PRINTS_HDRS);
    assert.equal(await outputOf(buildBzImage({ code })), "HdrS");
    const packed = buildBzImage({ code, payload: await pack(payload, "gzip") });
    assert.equal(await outputOf(packed, "bzimage"), "HdrS");
    assert.match(await outputOf(packed), LINUX);
  },
);
