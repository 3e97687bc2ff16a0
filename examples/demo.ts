/**
 * The demo: Vireo's own small guest on a scratch disk and, when this may make
 * a network namespace, a TAP. Its drivers verify what they write, and ping
 * the host.
 *
 *     deno task demo
 */
import { temporaryFolder } from "../ffi/temporary.ts";
import { Machine, readPayload, VireoError, type VmConfig } from "../mod.ts";

const SCRATCH_SIZE = 64 * 1024 * 1024;
const HOST_ADDRESS = "10.117.0.1";
const GUEST_ADDRESS = "10.117.0.2";
const TAP = "tap0";

const encoder = new TextEncoder();

/**
 * Runs the demo.
 *
 * @param print shows what it and the guest say
 * @param ended stops it when it is aborted
 * @returns the exit status: 0 when the guest verified everything
 */
export async function demo(
  print: (bytes: Uint8Array) => void,
  ended: AbortSignal,
): Promise<number> {
  const say = (line: string) => print(encoder.encode(`${line}\n`));
  const started = performance.now();
  await using stack = new AsyncDisposableStack();
  const folder = temporaryFolder("vireo-demo-");
  stack.defer(() => Deno.removeSync(folder, { recursive: true }));
  const disk = `${folder}/disk`;
  using file = Deno.createSync(disk);
  file.truncateSync(SCRATCH_SIZE);
  const netns = await makeNetwork(stack, say);

  const config: VmConfig = {
    "boot-source": {
      kernel_image_path: await readPayload(),
      boot_args: `demo ip=${GUEST_ADDRESS} peer=${HOST_ADDRESS}`,
    },
    "machine-config": { mem_size_mib: 64 },
    drives: [
      { drive_id: "scratch", path_on_host: disk, is_root_device: false },
    ],
    "network-interfaces": netns
      ? [{ iface_id: "eth0", host_dev_name: TAP, netns }]
      : [],
  };
  let output = "";
  const decoder = new TextDecoder();
  const machine = stack.use(
    await Machine.create(config, {
      onOutput(bytes) {
        output += decoder.decode(bytes, { stream: true });
        print(bytes);
      },
    }),
  );
  if (ended.aborted) return 1;
  ended.addEventListener("abort", () => void machine.stop());
  machine.start();
  const end = await machine.wait();
  const ok = end.reason === "reset" && /^payload: ok/m.test(output);
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  say(`demo: ${ok ? "ok" : `FAILED (${end.reason})`}, ${seconds} s`);
  return ok ? 0 : 1;
}

/** A namespace with a TAP whose host end has an address, or undefined. */
async function makeNetwork(
  stack: AsyncDisposableStack,
  say: (line: string) => void,
): Promise<string | undefined> {
  const netns = `vireo-demo-${Deno.pid}`;
  try {
    await ip("netns", "add", netns);
    stack.defer(() => ip("netns", "delete", netns));
    await ip("-n", netns, "tuntap", "add", TAP, "mode", "tap");
    await ip("-n", netns, "address", "add", `${HOST_ADDRESS}/24`, "dev", TAP);
    await ip("-n", netns, "link", "set", TAP, "up");
    return netns;
  } catch (error) {
    say(`demo: no network (${error instanceof Error ? error.message : error})`);
  }
}

async function ip(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ip", { args }).output();
  if (success) return;
  const reason = new TextDecoder().decode(stderr).trim();
  throw new VireoError(`ip ${args[0]}: ${reason}`);
}
