/**
 * Another image for a running disk: its descriptor becomes one of the new file,
 * so nobody who uses it has to know.
 *
 * @module
 */
import { openRawImage } from "../../devices/backends/block/open_image.ts";
import type { BlkData } from "../../devices/virtio/blk/make.ts";
import { VireoError } from "../../ffi/error.ts";
import { becomeFd, closeFd } from "../../ffi/file.ts";
import type { Drive } from "../../vmm/devices/mod.ts";

/**
 * Puts an image in the place of the one that a disk was made of.
 *
 * @param data what the disk was made of
 * @param drive what it is to be made of
 * @throws {VireoError} it can't be had; the disk stays as it is
 */
export function swapImage(data: unknown, drive: Drive): void {
  const { image } = data as BlkData;
  const other = openRawImage({
    path: drive.path_on_host!,
    readOnly: image.readOnly,
    direct: image.direct,
  });
  try {
    if (image.backing !== undefined || other.backing !== undefined) {
      throw new VireoError(
        `disk "${drive.path_on_host}": a block device can't take another's ` +
          "place, nor be replaced, while the guest runs",
      );
    }
    becomeFd(image.fd, other.fd);
  } finally {
    // Its lock stays with the descriptor that it has become.
    closeFd(other.fd);
    if (other.backing !== undefined) closeFd(other.backing);
  }
}
