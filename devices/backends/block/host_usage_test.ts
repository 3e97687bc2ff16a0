/** What else uses an image: the host, a loop device, another machine. */
import assert from "node:assert/strict";
import {
  LOOP_DEVICES,
  LoopDevice,
  MountedFolder,
  run,
} from "../../../ffi/testing/loop.ts";
import { needing, root } from "../../../ffi/testing/needs.ts";
import { VireoError } from "../../../ffi/error.ts";
import { deviceNumbers, storageOf } from "./host_usage.ts";
import { closeRawImage, openRawImage } from "./open_image.ts";

const SIZE = 16 * 1024 * 1024;

/** A file that ends with the test. */
class Image implements Disposable {
  readonly path = Deno.makeTempFileSync({ prefix: "vireo-usage-" });

  constructor() {
    Deno.truncateSync(this.path, SIZE);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

/** What opening says: an error's message, a warning, or nothing. */
function said(path: string, readOnly = false): string {
  try {
    const image = openRawImage({ path, readOnly });
    closeRawImage(image);
    return image.warning ? `warns: ${image.warning}` : "";
  } catch (error) {
    assert.ok(error instanceof VireoError, String(error));
    assert.doesNotMatch(error.message, /\n/, "one line");
    return error.message;
  }
}

Deno.test(needing([LOOP_DEVICES], {
  name: "disk: a read-only device is refused for writing, with what to add",
  fn() {
    using file = new Image();
    using loop = new LoopDevice(file.path, "--read-only");
    assert.match(said(loop.path), /loop\d+": is a read-only device; add ,ro$/);
    assert.equal(said(loop.path, true), "");
  },
}));

Deno.test(needing([root("mounts a file system")], {
  name:
    "disk: a file that can only be read is refused for writing, with what to add",
  fn() {
    using folder = new MountedFolder("-t", "tmpfs", "vireo-test");
    const path = `${folder.path}/image`;
    Deno.writeFileSync(path, new Uint8Array(512));
    run("mount", "-o", "remount,ro", folder.path);
    assert.match(said(path), /EROFS .*; add ,ro to read it$/);
    assert.equal(said(path, true), "");
  },
}));

Deno.test(needing([LOOP_DEVICES, "mke2fs"], {
  name:
    "disk: what the host has mounted is refused for writing, and a reader is warned",
  fn() {
    using file = new Image();
    using loop = new LoopDevice(file.path);
    run("mke2fs", "-q", "-t", "ext4", loop.path);
    using folder = new MountedFolder(loop.path);
    const mounted = `is mounted at "${folder.path}"`;
    const refusal = `disk "${loop.path}": ${mounted}; the host must let go`;
    const half = "the guest may see it half changed";
    assert.equal(said(loop.path), refusal);
    assert.equal(
      said(loop.path, true),
      `warns: disk "${loop.path}": ${mounted}: ${half}`,
    );
    const through =
      `disk "${file.path}": is ${loop.path} too, which ${mounted}`;
    assert.equal(said(file.path), `${through}; the host must let go`);
    assert.equal(said(file.path, true), `warns: ${through}: ${half}`);
    run("mount", "-o", "remount,ro", folder.path);
    assert.equal(said(loop.path, true), "", "it doesn't change");
  },
}));

Deno.test(needing([LOOP_DEVICES, "mke2fs"], {
  name: "disk: the host can't mount what a machine writes to",
  fn() {
    using file = new Image();
    using loop = new LoopDevice(file.path);
    run("mke2fs", "-q", "-t", "ext4", loop.path);
    const image = openRawImage({ path: loop.path });
    assert.throws(() => new MountedFolder(loop.path), /busy|already/i);
    assert.match(said(loop.path), /another machine uses it, or the host does/);
    closeRawImage(image);
    using _folder = new MountedFolder(loop.path);
  },
}));

Deno.test(needing([LOOP_DEVICES], {
  name: "disk: a loop device and its file exclude each other, in either order",
  fn() {
    using file = new Image();
    using loop = new LoopDevice(file.path);
    const device = openRawImage({ path: loop.path });
    assert.match(said(file.path), /another machine uses it/);
    closeRawImage(device);
    assert.match(
      said(file.path),
      /^warns: .* is \/dev\/loop\d+ too: what uses/,
    );
    const image = openRawImage({ path: file.path });
    assert.equal(
      said(loop.path),
      `disk "${loop.path}": another machine writes to its file, "${file.path}"`,
    );
    closeRawImage(image);
    assert.equal(said(loop.path), "");
    assert.equal(storageOf(loop.path)[1], storageOf(file.path)[0]);
  },
}));

Deno.test("deviceNumbers: as the kernel puts them together", () => {
  assert.equal(deviceNumbers(0x700), "7:0");
  assert.equal(deviceNumbers(0x10_0803), "8:259");
});
