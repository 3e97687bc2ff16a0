/** A disk over HTTP, by ranges of 64 KiB, which are kept. */
import type { DiskModule } from "../../mod.ts";

const BLOCK = 64 * 1024;

export default class HttpDisk implements DiskModule {
  readonly #blocks = new Map<number, Promise<Uint8Array>>();
  size = 0;

  constructor(readonly options: { url: string }) {}
  async open(): Promise<void> {
    this.size = (await this.#fetch(0, 0)).total;
  }
  async read(offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const first = Math.floor((offset + at) / BLOCK) * BLOCK;
      const block = this.#blocks.get(first) ?? this.#load(first);
      const from = (await block).subarray(offset + at - first);
      bytes.set(from.subarray(0, bytes.length - at), at);
      at += from.length;
    }
  }
  #load(first: number): Promise<Uint8Array> {
    const last = Math.min(first + BLOCK, this.size) - 1;
    const block = this.#fetch(first, last).then(({ bytes, total }) => {
      if (total === this.size) return bytes;
      throw new Error(`there are ${total} bytes now`);
    });
    this.#blocks.set(first, block);
    block.catch(() => this.#blocks.delete(first)); // to be tried again
    return block;
  }
  async #fetch(first: number, last: number) {
    const headers = { range: `bytes=${first}-${last}` };
    // Redirects stay on the host; a server is not to lead the disk elsewhere.
    const signal = AbortSignal.timeout(10_000);
    let url = new URL(this.options.url);
    for (let hops = 0; hops < 5; hops++) {
      const answer = await fetch(url, { headers, signal, redirect: "manual" });
      const to = answer.headers.get("location");
      if (answer.status < 300 || answer.status > 399 || to === null) {
        return await checked(answer, first, last);
      }
      await answer.body?.cancel();
      const next = new URL(to, url);
      if (next.origin !== url.origin) throw new Error(`redirected to ${next}`);
      url = next;
    }
    throw new Error("too many redirects");
  }
}

/** The bytes of an answer that has the range, the whole, and no more. */
async function checked(answer: Response, first: number, last: number) {
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(
    answer.headers.get("content-range") ?? "",
  );
  const [from, to, total] = (range ?? []).slice(1).map(Number);
  if (answer.status !== 206 || from !== first || to !== last) {
    await answer.body?.cancel();
    throw new Error(
      `status ${answer.status}, not the range that was asked for`,
    );
  }
  const bytes = new Uint8Array(last - first + 1);
  let at = 0;
  for await (const chunk of answer.body ?? []) { // not more than was asked for
    if (at + chunk.length > bytes.length) throw new Error("too many bytes");
    bytes.set(chunk, at);
    at += chunk.length;
  }
  if (at !== bytes.length) throw new Error(`${at} bytes`);
  return { bytes, total: total! };
}
