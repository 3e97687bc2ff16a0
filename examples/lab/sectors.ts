/** A disk whose sectors are computed: each holds its number as text. */
import type { DiskModule } from "../../mod.ts";

export default class Sectors implements DiskModule {
  readonly size: number;
  readonly #encoder = new TextEncoder();

  constructor({ sectors = 1 << 20 }: { sectors?: number } = {}) {
    this.size = 512 * sectors;
  }
  read(offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += 512) {
      const text = `sector ${(offset + at) / 512}\n`;
      this.#encoder.encodeInto(text, bytes.subarray(at, at + 512));
    }
  }
}
