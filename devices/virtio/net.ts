/**
 * The network device (virtio 1.2 §5.1).
 *
 * Frames go by vectored reads and writes straight between guest memory and
 * the backend, with their `virtio_net_hdr_v1` in front, so that checksum and
 * segmentation offloads are the host kernel's.
 *
 * @module
 */
import { TapOffload } from "../../ffi/tap.ts";
import type { NetBackend } from "../net/backend.ts";
import type { DeviceContext, VirtioDevice } from "./device.ts";
import { NetPair } from "./net_pair.ts";
import {
  ETHERNET_HEADER,
  NET_HEADER_SIZE,
  NET_QUEUE_SIZE,
  NetConfig,
  NetFeature,
  NetStatus,
  TSO_FRAME,
} from "./net_spec.ts";
import type { VirtQueue } from "./queue.ts";
import { DeviceId, Feature, type FeatureWords, featureWords } from "./spec.ts";

/** A virtio network device over a backend. */
export class Net implements VirtioDevice {
  /** See {@linkcode VirtioDevice.deviceId}. */
  readonly deviceId: number = DeviceId.NET;
  /** See {@linkcode VirtioDevice.features}. */
  readonly features: FeatureWords = featureWords(
    Feature.INDIRECT_DESC,
    Feature.EVENT_IDX,
    ...Object.values(NetFeature),
  );
  /** See {@linkcode VirtioDevice.queueSizes}. */
  readonly queueSizes: readonly number[] = [NET_QUEUE_SIZE, NET_QUEUE_SIZE];
  /** See {@linkcode VirtioDevice.config}. */
  readonly config: Uint8Array;
  readonly #backend: NetBackend;
  readonly #pair: NetPair;
  #context!: DeviceContext;

  /** An interface on `backend` with the address `mac`, six bytes. */
  constructor(backend: NetBackend, mac: Uint8Array) {
    this.#backend = backend;
    this.#pair = new NetPair(0, backend, () => this.#linkDown());
    const config = new DataView(new ArrayBuffer(NetConfig.SIZE));
    this.config = new Uint8Array(config.buffer);
    this.config.set(mac, NetConfig.mac);
    config.setUint16(NetConfig.status, NetStatus.LINK_UP, true);
    config.setUint16(NetConfig.mtu, backend.mtu, true);
  }

  /** See {@linkcode VirtioDevice.attach}. */
  attach(context: DeviceContext): void {
    this.#context = context;
    this.#pair.attach(context);
  }

  /** See {@linkcode VirtioDevice.activate}. */
  activate(): void {
    const has = (bit: number) => this.#context.hasFeature(bit);
    const offload = (has(NetFeature.GUEST_CSUM) ? TapOffload.CSUM : 0) |
      (has(NetFeature.GUEST_TSO4) ? TapOffload.TSO4 : 0) |
      (has(NetFeature.GUEST_TSO6) ? TapOffload.TSO6 : 0) |
      (has(NetFeature.GUEST_ECN) ? TapOffload.TSO_ECN : 0);
    // Refused without CSUM (§5.1.3.1); those of the last driver must go, too.
    if (!this.#backend.setOffload(offload)) this.#backend.setOffload(0);
    const tso = has(NetFeature.GUEST_TSO4) || has(NetFeature.GUEST_TSO6);
    this.#pair.activate(
      NET_HEADER_SIZE +
        (tso ? TSO_FRAME : this.#backend.mtu + ETHERNET_HEADER),
      has(NetFeature.MRG_RXBUF),
    );
  }

  /** See {@linkcode VirtioDevice.notify}. */
  notify(queue: VirtQueue): void {
    this.#pair.notify(queue);
  }

  /** See {@linkcode VirtioDevice.reset}. */
  reset(queue?: VirtQueue): void {
    this.#pair.reset(queue);
  }

  /** See {@linkcode VirtioDevice.close}. */
  close(): void {
    this.#pair.close();
  }

  /** The backend is gone: the driver sees the link go down. */
  #linkDown(): void {
    this.#context.configChanged((config) => {
      config[NetConfig.status] = 0;
    });
  }
}
