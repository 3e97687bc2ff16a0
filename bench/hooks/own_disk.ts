/** The built-in disk as a device of one's own. */
import { Blk, closeRawImage, openRawImage, rawBackend } from "../../lab.ts";

export default class OwnDisk extends Blk {
  readonly #image;

  constructor({ path }: { path: string }) {
    const image = openRawImage({ path });
    super(rawBackend(image, 256), "own");
    this.#image = image;
  }
  override close(): void {
    super.close();
    closeRawImage(this.#image);
  }
}
