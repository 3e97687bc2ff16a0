/**
 * Vireo: a KVM virtual machine monitor you can read in an afternoon and
 * change in a minute.
 *
 * {@linkcode Machine} boots a kernel with disks and networks. The parts that
 * it is made of are public too: {@linkcode Kvm}, {@linkcode Vm} and
 * {@linkcode Vcpu} are KVM's own API, one method per ioctl.
 *
 * @example Boot a kernel and print its console
 * ```ts ignore
 * import { Machine } from "./mod.ts";
 *
 * await using machine = await Machine.create({
 *   "boot-source": { kernel_image_path: "vmlinux" },
 *   "machine-config": { mem_size_mib: 64 },
 * }, { onOutput: (bytes) => Deno.stdout.writeSync(bytes) });
 * machine.start();
 * console.log(await machine.wait());
 * ```
 *
 * @module
 */
export { Machine, type MachineOptions } from "./vmm/machine.ts";
export { BalloonHandle } from "./vmm/balloon.ts";
export type { MachineEnd } from "./vmm/messages.ts";
export type { StepCounts } from "./vmm/step_past.ts";
export type {
  BootSource,
  ConsoleSocket,
  CustomDevice,
  Drive,
  Entropy,
  MachineConfig,
  MemoryBalloon,
  NetworkInterface,
  VirtioConsole,
  VmConfig,
  Vsock,
} from "./vmm/config.ts";
export { DEFAULT_BOOT_ARGS } from "./vmm/config_values.ts";
export type { RateLimits, TokenBucket } from "./devices/rate_limiter.ts";
export type { KernelEntry } from "./guest/kernel_entry.ts";
export type { BalloonCommand, BalloonStats } from "./devices/virtio/balloon.ts";
export type { GuestStats } from "./devices/virtio/balloon_stats.ts";
export { parseConfig, readConfigFile } from "./vmm/config_file.ts";
export type { Watcher } from "./devices/event_loop.ts";
export { Events } from "./ffi/epoll.ts";
export {
  type AllocateOptions,
  GuestAddressError,
  GuestMemory,
  MemoryRegion,
  type RegionHandle,
} from "./guest/memory.ts";
export type { FrameHandler } from "./devices/net/handler.ts";
export type { DeviceContext, VirtioDevice } from "./devices/virtio/device.ts";
export {
  ChainPart,
  ChainPool,
  DescriptorChain,
} from "./devices/virtio/chain.ts";
export { type QueueState, VirtQueue } from "./devices/virtio/queue.ts";
export {
  DeviceId,
  Feature,
  type FeatureWords,
  featureWords,
} from "./devices/virtio/spec.ts";
export { payloadPath, readPayload } from "./guest/payload/payload.ts";
export {
  type Compression,
  type KernelVariant,
  prepare,
  prepareAll,
  type Prepared,
  prepared,
  type PreparedAll,
  preparedRootfs,
  type PrepareOptions,
  prepareRootfs,
  type ProgressOutput,
} from "./guest/linux/prepare.ts";
export { probe } from "./vmm/probe.ts";
export type {
  Capability,
  ExitReport,
  Failed,
  GuestReport,
  HostNames,
  InstructionReport,
  KvmReport,
  Need,
  ProbeReport,
  ResourceReport,
  SpeedReport,
} from "./vmm/probe/report.ts";
export { SystemError, VireoError } from "./ffi/errno.ts";
export { Cap, type IoEventFdAddress, Kvm, Vm } from "./ffi/kvm.ts";
export { MpState, Vcpu } from "./ffi/vcpu.ts";
export { Exit, InternalError, KvmRun } from "./ffi/kvm_run.ts";
export {
  type ControlName,
  type RegisterName,
  type Registers,
  type Segment,
  type SegmentName,
  SpecialRegisters,
  type TableName,
} from "./ffi/kvm_registers.ts";
export { Mapping, type MappingOptions } from "./ffi/mmap.ts";
