/**
 * A port for a machine of this process: frames are in memory that it shares
 * with the machine's device worker.
 *
 * @module
 */
import { ChannelEnd } from "../devices/backends/net/frame_channel.ts";
import { Port, type PortCounts } from "./port.ts";

/** A channel of frames. */
export class PlugPort extends Port {
  /** What the machine gets the other end of. */
  readonly end: ChannelEnd = new ChannelEnd();
  #flushing = false;

  override get counts(): PortCounts {
    const counts = super.counts;
    return { ...counts, dropped: counts.dropped + this.end.lost };
  }

  async run(): Promise<undefined> {
    await this.end.receive(
      (frame) => this.take(frame),
      () => this.flush(),
    );
  }

  protected hangUp(): void {
    this.end.close();
  }

  protected put(frame: Uint8Array): boolean {
    if (!this.end.send(frame)) return false;
    if (this.#flushing) return true;
    this.#flushing = true;
    // After the frames that came together with this one.
    queueMicrotask(() => {
      this.#flushing = false;
      this.flush();
    });
    return true;
  }
}
