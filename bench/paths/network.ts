/**
 * A network namespace with a TAP, so that nothing that is measured here
 * touches the host's network.
 *
 * @module
 */

/** The TAP's name; every run has a namespace of its own. */
export const TAP = "tap0";
/** The host's end. */
export const HOST_ADDRESS = "10.117.0.1";
/** The guest's end. */
export const GUEST_ADDRESS = "10.117.0.2";

let namespaces = 0;

/** A namespace that exists until it is disposed of. */
export class Network implements AsyncDisposable {
  /** The namespace's name. */
  readonly netns: string;

  private constructor(netns: string) {
    this.netns = netns;
  }

  /**
   * Makes a namespace with {@linkcode TAP} up in it.
   *
   * @param queue frames that wait for the guest before the host drops more
   * @throws {Error} without the right to do so
   */
  static async create(queue = 1000): Promise<Network> {
    const netns = `vireo-bench-${Deno.pid}-${namespaces++}`;
    await ip("netns", "add", netns);
    const network = new Network(netns);
    try {
      await ip("-n", netns, "tuntap", "add", TAP, "mode", "tap", "vnet_hdr");
      // The host would announce itself over IPv6 in the midst of a run.
      await ip("-n", netns, "link", "set", TAP, "addrgenmode", "none");
      const address = `${HOST_ADDRESS}/24`;
      await ip("-n", netns, "address", "add", address, "dev", TAP);
      await ip("-n", netns, "link", "set", TAP, "txqueuelen", `${queue}`, "up");
      return network;
    } catch (error) {
      await network[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts a program inside; it is the caller's to end. */
  spawn(program: string, ...args: string[]): Deno.ChildProcess {
    return new Deno.Command("ip", {
      args: ["netns", "exec", this.netns, program, ...args],
      stdin: "null",
      stdout: "null",
      stderr: "inherit",
    }).spawn();
  }

  /** Removes the namespace with all that is in it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await ip("netns", "delete", this.netns);
  }
}

async function ip(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ip", { args }).output();
  if (success) return;
  const reason = new TextDecoder().decode(stderr).trim();
  throw new Error(`ip ${args.join(" ")}: ${reason}`);
}
