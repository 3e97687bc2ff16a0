/** An image behind one arm: the further it goes, the longer a request takes. */
import { Blk, closeRawImage, openRawImage, rawBackend } from "../../lab.ts";
import type { BlockBackend, RawImage } from "../../lab.ts";
import type { OwnDeviceContext } from "../../mod.ts";

export default class SeekDisk extends Blk {
  readonly #image: RawImage;
  readonly #backend: BlockBackend;
  #arm = 0;

  constructor({ path }: { path: string }) {
    const image = openRawImage({ path });
    const backend = rawBackend(image, 256, "Sync");
    super(backend, "seek");
    [this.#image, this.#backend] = [image, backend];
  }
  override attach(context: OwnDeviceContext): void {
    const backend = this.#backend;
    for (const name of ["readv", "writev"] as const) {
      const go = backend[name].bind(backend) as (...of: unknown[]) => void;
      backend[name] = (...of: [number, number, number, number]) => {
        const way = Math.abs(of[3] - this.#arm) / backend.size; // the offset
        this.#arm = of[3];
        context.setTimer(5 * way, () => go(...of)); // what is done is polled
        context.emit("seek", { way });
      };
    }
    super.attach(context);
  }
  override close(): void {
    super.close();
    closeRawImage(this.#image);
  }
}
