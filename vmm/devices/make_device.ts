/**
 * Makes a machine's devices, on the device worker. Each kind's modules are
 * loaded when there is one: a thread keeps what it has loaded.
 *
 * @module
 */
import type { VirtioDevice } from "../../devices/virtio/device.ts";
import type { GuestMemory } from "../../guest/memory.ts";
import type { DeviceSpec, WorkerMessage } from "../messages.ts";

/** Requests that one disk may have in flight. */
const BLK_REQUESTS = 256;

/** Makes the device that `spec` describes; `post` tells the main isolate. */
export async function makeDevice(
  spec: DeviceSpec,
  memory: GuestMemory,
  post: (message: WorkerMessage) => void,
): Promise<VirtioDevice> {
  switch (spec.kind) {
    case "blk": {
      const [{ Blk }, { rawBackend }] = await Promise.all([
        import("../../devices/virtio/blk/blk.ts"),
        import("../../devices/backends/block/raw.ts"),
      ]);
      using undo = new DisposableStack(); // unless the device is there
      const backend = rawBackend(spec.image, BLK_REQUESTS, spec.sync);
      undo.defer(() => backend.close());
      const device = new Blk(backend, spec.id, spec.options);
      undo.move();
      return device;
    }
    case "net": {
      const [{ Net }, { netBackends, netLimiters }] = await Promise.all([
        import("../../devices/virtio/net/net.ts"),
        import("./net_backends.ts"),
      ]);
      const log = (message: string) => post({ type: "log", message });
      using undo = new DisposableStack(); // unless the device is there
      const backends = await netBackends(spec, memory, log, undo);
      const limiters = await netLimiters(spec, undo);
      const device = new Net(backends, spec.mac, limiters);
      undo.move();
      return device;
    }
    case "rng": {
      const [{ Rng }, { getrandom }, { RateLimiter }] = await Promise.all([
        import("../../devices/virtio/rng.ts"),
        import("../../devices/backends/entropy/source.ts"),
        import("../../devices/runtime/rate_limiter.ts"),
      ]);
      return new Rng(getrandom, RateLimiter.from(spec.limits));
    }
    case "balloon": {
      const { Balloon } = await import(
        "../../devices/virtio/balloon/balloon.ts"
      );
      return new Balloon(spec.options);
    }
    case "console": {
      const { makeConsole } = await import("./console.ts");
      return makeConsole(spec.ends, {
        outputReady: () => post({ type: "output" }),
        inputRoom: () => post({ type: "input-room" }),
      });
    }
    case "vsock": {
      const [{ Vsock }, { UnixSockets }] = await Promise.all([
        import("../../devices/virtio/vsock/vsock.ts"),
        import("../../devices/backends/vsock/unix_sockets.ts"),
      ]);
      return new Vsock(spec.cid, new UnixSockets(spec.sockets));
    }
    case "module": {
      const { default: Device } = await import(spec.module);
      return new Device(spec.options);
    }
  }
}
