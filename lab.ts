/**
 * The parts that Vireo's own devices are made of, to be extended or wrapped by
 * a module of one's own: the built-in devices, and what they end in. All of it
 * is experimental. What a module is, and all else, is in mod.ts.
 *
 * @example A disk that counts its reads: `--device counting.ts,path=a.raw`
 * ```ts ignore
 * import { Blk, closeRawImage, openRawImage, rawBackend } from "./lab.ts";
 *
 * export default class extends Blk {
 *   constructor({ path }: { path: string }) {
 *     const image = openRawImage({ path });
 *     const backend = rawBackend(image, 256);
 *     const readv = backend.readv.bind(backend);
 *     backend.readv = (...of) => {
 *       console.error("read at", of[3]);
 *       readv(...of);
 *     };
 *     super(backend, "counting");
 *     this.image = image;
 *   }
 *   image;
 *   override close() {
 *     super.close();
 *     closeRawImage(this.image);
 *   }
 * }
 * ```
 *
 * @module
 */
export { Blk, type BlkCommand } from "./devices/virtio/blk/blk.ts";
export type { BlkOptions } from "./devices/virtio/blk/spec.ts";
export type { BlockBackend } from "./devices/backends/block/backend.ts";
export { type IoEngine, rawBackend } from "./devices/backends/block/engine.ts";
export type { RawImage } from "./devices/backends/block/image.ts";
export {
  closeRawImage,
  type OpenImage,
  openRawImage,
  type RawImageOptions,
} from "./devices/backends/block/open_image.ts";
export { Net, type NetSaved } from "./devices/virtio/net/net.ts";
export type { NetControlled } from "./devices/virtio/net/control.ts";
export type { Frame, NetBackend } from "./devices/backends/net/backend.ts";
export { HandlerBackend } from "./devices/backends/net/handler.ts";
export { TapBackend } from "./devices/backends/net/tap.ts";
export { StreamBackend } from "./devices/backends/net/stream.ts";
export { Rng } from "./devices/virtio/rng.ts";
export {
  type EntropySource,
  getrandom,
} from "./devices/backends/entropy/source.ts";
export { Console } from "./devices/virtio/console/console.ts";
export type { PortOptions, PortSaved } from "./devices/virtio/console/ports.ts";
export type {
  ConsoleBackend,
  ConsoleLoop,
} from "./devices/backends/console/backend.ts";
export { Vsock, type VsockSaved } from "./devices/virtio/vsock/vsock.ts";
export type {
  ConnectionOwner,
  VsockConnection,
} from "./devices/virtio/vsock/connection.ts";
export type { VsockPacket } from "./devices/virtio/vsock/packet.ts";
export type { ChainServer } from "./devices/virtio/queue/drain.ts";
export { UnixSockets } from "./devices/backends/vsock/unix_sockets.ts";
export type { HostStream } from "./devices/backends/vsock/host_stream.ts";
export {
  type Found,
  type FuzzedDevice,
  Fuzzer,
  type FuzzerOptions,
  type FuzzOptions,
  type FuzzProgress,
  type FuzzReport,
} from "./vmm/fuzzing/fuzzer.ts";
export type { Access } from "./vmm/fuzzing/target.ts";
export type { Answer, Change } from "./vmm/fuzzing/answers.ts";
export type { KcovBuffer } from "./vmm/fuzzing/coverage.ts";
export type { Finding, Limits, Try, TryEnd } from "./vmm/fuzzing/try.ts";
export { mutate, type Mutator, type Seed } from "./vmm/fuzzing/mutate.ts";
export type { Random } from "./vmm/fuzzing/random.ts";
export {
  crash,
  hang,
  kernelLog,
  type Oracle,
  says,
} from "./vmm/fuzzing/oracles.ts";
