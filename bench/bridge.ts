/**
 * A bridge of TAPs in a network namespace of its own. It takes root.
 *
 * @module
 */

async function ip(...words: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ip", { args: words })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

/**
 * Makes it, until `stack` is disposed of.
 *
 * @returns an interface for each of its TAPs
 */
export async function bridge(
  taps: number,
  stack: AsyncDisposableStack,
): Promise<{ host_dev_name: string; netns: string }[]> {
  const netns = `vireo-bench-${Deno.pid}`;
  await ip("netns", "add", netns);
  stack.defer(() => ip("netns", "delete", netns));
  await ip("-n", netns, "link", "add", "br0", "type", "bridge");
  await ip("-n", netns, "link", "set", "br0", "up");
  // The payload's headers have no checksums, which a firewall would look at.
  const calls = "/proc/sys/net/bridge/bridge-nf-call-iptables";
  const off = `[ ! -e ${calls} ] || echo 0 >${calls}`;
  await ip("netns", "exec", netns, "sh", "-c", off);
  const names = Array.from({ length: taps }, (_, n) => `tap${n}`);
  for (const tap of names) {
    await ip("-n", netns, "tuntap", "add", tap, "mode", "tap");
    await ip("-n", netns, "link", "set", tap, "master", "br0", "up");
  }
  return names.map((host_dev_name) => ({ host_dev_name, netns }));
}
