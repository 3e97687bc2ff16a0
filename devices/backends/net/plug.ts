/**
 * Where an interface is plugged in without a socket: an object of the program,
 * which takes any number of interfaces.
 *
 * @module
 */
import type { FrameChannel } from "./frame_channel.ts";

/** An interface that is plugged in. */
export interface PluggedIn extends Disposable {
  /** For the device worker. */
  readonly channel: FrameChannel;
}

/**
 * Where machines of this process are plugged in: a `SwitchPlug` is one.
 *
 * @experimental
 */
export abstract class Plug {
  /**
   * Takes an interface, until it is disposed of.
   *
   * @throws {VireoError} it takes no more
   */
  abstract plugIn(): PluggedIn;
}
