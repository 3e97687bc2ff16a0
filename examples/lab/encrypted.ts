/**
 * An image whose bytes are encrypted on the host, by AES-CTR. Who sees a sector
 * before and after a write learns their difference: that takes another mode.
 */
import type { DiskModule } from "../../mod.ts";

export default class Encrypted implements DiskModule {
  readonly #file: Deno.FsFile;
  #key!: CryptoKey;
  readonly size: number;

  constructor(readonly options: { path: string; key: string }) {
    this.#file = Deno.openSync(options.path, { read: true, write: true });
    this.size = this.#file.statSync().size;
  }
  async open(): Promise<void> {
    const key = new TextEncoder().encode(this.options.key);
    const hash = await crypto.subtle.digest("SHA-256", key);
    const use: KeyUsage[] = ["encrypt"];
    this.#key = await crypto.subtle.importKey(
      "raw",
      hash,
      "AES-CTR",
      false,
      use,
    );
  }
  /** The same both ways: the counter is the offset in blocks of 16 bytes. */
  async #crypt(offset: number, bytes: Uint8Array): Promise<Uint8Array> {
    const counter = new Uint8Array(16);
    new DataView(counter.buffer).setBigUint64(8, BigInt(offset / 16));
    const how = { name: "AES-CTR", counter, length: 64 };
    const data = bytes as Uint8Array<ArrayBuffer>;
    return new Uint8Array(await crypto.subtle.encrypt(how, this.#key, data));
  }
  async read(offset: number, bytes: Uint8Array): Promise<void> {
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    for (let at = 0, n: number | null; at < bytes.length; at += n) {
      n = this.#file.readSync(bytes.subarray(at));
      if (n === null) throw new Error("the file has become shorter");
    }
    bytes.set(await this.#crypt(offset, bytes));
  }
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const data = await this.#crypt(offset, bytes);
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    for (let at = 0; at < data.length;) {
      at += this.#file.writeSync(data.subarray(at));
    }
  }
  flush(): void {
    this.#file.syncDataSync();
  }
  close(): void {
    this.#file.close();
  }
}
