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
export { Machine } from "./vmm/machine.ts";
export { SharedDeviceWorker } from "./vmm/shared_devices/shared_device_worker.ts";
export type { MachineDevices } from "./vmm/machine_devices.ts";
export type { MachineMonitor } from "./vmm/machine_monitor.ts";
export type {
  DeviceMetrics,
  MachineMetrics,
  QueueMetrics,
  RequestMetrics,
  VcpuMetrics,
} from "./vmm/trace/metrics.ts";
export type { FlightRecorder } from "./vmm/trace/flight_recorder.ts";
export {
  type LivePage,
  type LivePageOptions,
  type PageInput,
  serveLivePage,
  type ShownMachine,
  type WatchedMachine,
} from "./vmm/live_page.ts";
export type { RequestType } from "./vmm/trace/layout.ts";
export type {
  BeginEvent,
  DoorbellEvent,
  EventCommon,
  ExitEvent,
  FrameEvent,
  InterruptEvent,
  LostEvent,
  OwnDeviceEvent,
  RequestEvent,
  StateEvent,
  StepEvent,
  TraceEvent,
  TraceEventType,
  TraceFilter,
} from "./vmm/trace/events.ts";
export type {
  DeviceRecord,
  DeviceStep,
} from "./devices/virtio/device_record.ts";
export type {
  ExecOptions,
  ExecOutput,
  GuestProcess,
  GuestStatus,
  SpawnOptions,
  TerminalSize,
} from "./vmm/agent/mod.ts";
export type { MachineSnapshots } from "./vmm/machine_snapshots.ts";
export type { MachineIntrospection } from "./vmm/machine_introspection.ts";
export type {
  DebuggedMachine,
  GdbAddress,
  GdbOptions,
  GdbServer,
} from "./vmm/introspection/gdb.ts";
export type { MachineView } from "./vmm/introspection/machine_view.ts";
export type { MachineReport, VcpuReport } from "./vmm/introspection/report.ts";
export type {
  DescriptorReport,
  DeviceReport,
  QueueReport,
  RequestReport,
} from "./vmm/introspection/queues.ts";
export type { VcpuActivity, VcpuView } from "./vmm/introspection/vcpu_view.ts";
export { KernelSymbols, type NearSymbol } from "./guest/kernel/symbols.ts";
export type { PageTableEntry, PageWalk } from "./guest/page_walk.ts";
export type { ControlOptions, MachineOptions } from "./vmm/machine_options.ts";
export type {
  ForkOptions,
  MachinePool,
  Overrides,
  PoolOptions,
  SaveOptions,
  Snapshot,
  SnapshotOptions,
} from "./vmm/snapshot/mod.ts";
export type {
  PageFunction,
  PageSource,
  RegionMessage,
} from "./vmm/snapshot/on_demand/on_demand.ts";
export type { SavedDevice } from "./devices/virtio/device.ts";
export type { VcpuState } from "./ffi/kvm/vcpu_state.ts";
export type { VmState } from "./ffi/kvm/vm_state.ts";
export type {
  SavedMachine,
  SavedPlatform,
} from "./vmm/snapshot/saved_machine.ts";
export type { MachineState } from "./vmm/machine_state.ts";
export { BalloonHandle } from "./vmm/devices/balloon_handle.ts";
export type { MachineEnd } from "./vmm/messages.ts";
export type { StepCounts } from "./vmm/refused.ts";
export type {
  Bitmap,
  CpuConfig,
  CpuidModifier,
  CpuidRegister,
  MsrModifier,
} from "./guest/boot/cpu_template.ts";
export type {
  BootSource,
  MachineConfig,
  VmConfig,
} from "./vmm/config/types.ts";
export type {
  BusDeviceConfig,
  ConsoleSocket,
  CustomDevice,
  DeviceKeys,
  Drive,
  Entropy,
  MemoryBalloon,
  MetadataService,
  NetworkInterface,
  VirtioConsole,
  Vsock,
  VsockListener,
} from "./vmm/devices/mod.ts";
export { DEFAULT_BOOT_ARGS } from "./vmm/config/boot_args.ts";
export type {
  RateLimits,
  TokenBucket,
} from "./devices/runtime/rate_limiter.ts";
export type { KernelEntry } from "./guest/kernel/entry.ts";
export type {
  BalloonCommand,
  BalloonStats,
} from "./devices/virtio/balloon/command.ts";
export type { GuestStats } from "./devices/virtio/balloon/stats.ts";
export { parseConfig, readConfigFile } from "./vmm/config/file.ts";
export type { Watcher } from "./devices/runtime/event_loop.ts";
export { Events } from "./ffi/epoll.ts";
export type { AllocateOptions, Backing } from "./guest/backing.ts";
export {
  GuestAddressError,
  GuestMemory,
  MemoryRegion,
  type RegionHandle,
} from "./guest/memory.ts";
export type { FrameHandler } from "./devices/backends/net/handler.ts";
export type { EntropyModule } from "./devices/backends/entropy/entropy_module.ts";
export type {
  PortContext,
  PortModule,
} from "./devices/backends/console/port_module.ts";
export type { ListenerModule } from "./devices/backends/vsock/listener_module.ts";
export type { DiskModule } from "./devices/backends/block/disk_module.ts";
export type {
  FaultEffect,
  FaultPlan,
  FaultRule,
  FaultType,
} from "./devices/faults/rules.ts";
export type { OwnContext, OwnEvent } from "./devices/own/context.ts";
export type { PlainContext, PlainDevice } from "./devices/own/plain.ts";
export type { DeviceContext, VirtioDevice } from "./devices/virtio/device.ts";
export type { OwnDeviceContext } from "./devices/virtio/own_device.ts";
export type {
  ChainPart,
  DescriptorChain,
} from "./devices/virtio/queue/chain.ts";
export { type QueueState, VirtQueue } from "./devices/virtio/queue/queue.ts";
export {
  DeviceId,
  Feature,
  type FeatureWords,
  featureWords,
} from "./devices/virtio/spec.ts";
export {
  type LinkOptions,
  Switch,
  type SwitchEnd,
  type SwitchLink,
  type SwitchPlug,
} from "./network/switch.ts";
export type { Plug, PluggedIn } from "./devices/backends/net/plug.ts";
export type { FrameChannel } from "./devices/backends/net/frame_channel.ts";
export type { LinkShape } from "./network/shape.ts";
export type { PortCounts } from "./network/port.ts";
export { payloadPath, readPayload } from "./images/payload/payload.ts";
export {
  type Compression,
  type KernelVariant,
  moduleFolder,
  type PlainVariant,
  prepare,
  prepareAll,
  type Prepared,
  prepared,
  type PreparedAll,
  preparedRootfs,
  type PrepareOptions,
  prepareRootfs,
  type ProgressOutput,
} from "./images/linux/prepare.ts";
export { probe } from "./probe/mod.ts";
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
} from "./probe/report.ts";
export { SystemError, VireoError } from "./ffi/errno.ts";
export { Cap } from "./ffi/kvm/capabilities.ts";
export { Kvm, Vm } from "./ffi/kvm/kvm.ts";
export { type IoEventFdAddress, VmEvents } from "./ffi/kvm/vm_events.ts";
export { MpState, type MsrValue, Vcpu } from "./ffi/kvm/vcpu.ts";
export { DebugUser, GuestDebug } from "./ffi/kvm/guest_debug.ts";
export { Exit, InternalError, KvmRun } from "./ffi/kvm/run.ts";
export {
  type ControlName,
  type RegisterName,
  type Registers,
  type Segment,
  type SegmentName,
  SpecialRegisters,
  type TableName,
} from "./ffi/kvm/registers.ts";
export { Mapping, type MappingOptions } from "./ffi/memory/mmap.ts";
