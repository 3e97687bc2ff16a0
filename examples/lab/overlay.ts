/** A file that is never written: what the guest writes stays in memory. */
import type { DiskModule } from "../../mod.ts";

export default class Overlay implements DiskModule {
  readonly #file: Deno.FsFile;
  readonly #written = new Map<number, Uint8Array>(); // by sector
  readonly size: number;

  constructor({ path }: { path: string }) {
    this.#file = Deno.openSync(path);
    this.size = this.#file.statSync().size;
  }
  read(offset: number, bytes: Uint8Array): void {
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    let done = 0;
    for (let n: number | null = 1; n && done < bytes.length; done += n ?? 0) {
      n = this.#file.readSync(bytes.subarray(done));
    }
    for (let at = 0; at < bytes.length; at += 512) {
      const own = this.#written.get((offset + at) / 512);
      if (own) bytes.set(own, at);
    }
  }
  write(offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += 512) {
      this.#written.set((offset + at) / 512, bytes.subarray(at, at + 512));
    }
  }
  close(): void {
    this.#file.close();
  }
}
