/**
 * The shared memory of a machine's small devices, which a snapshot copies.
 *
 * @module
 */
import { I8042 } from "../../devices/platform/i8042.ts";
import {
  SerialState,
  SerialWord,
} from "../../devices/platform/serial_state.ts";
import { VireoError } from "../../ffi/error.ts";
import type { VcpuWorkerStart } from "../messages.ts";
import type { SavedPlatform } from "./saved_machine.ts";

/** Each device's memory, by its name in {@linkcode SavedPlatform}. */
function sharedOf(
  { serial, rtc, bootTimer, keyboard, pci }: VcpuWorkerStart,
): Record<keyof SavedPlatform, SharedArrayBuffer | undefined> {
  return {
    serial: serial.state,
    ...{ rtc, bootTimer },
    keyboard: keyboard.state,
    pci: pci?.config,
  };
}

/** Copies them; nobody may use them meanwhile. */
export function savePlatform(start: VcpuWorkerStart): SavedPlatform {
  const { pci, ...always } = sharedOf(start);
  const copied = Object.entries(always).map(([name, shared]) =>
    [name, copyOf(shared!)] as const
  );
  const saved = Object.fromEntries(copied) as unknown as SavedPlatform;
  return pci ? { ...saved, pci: copyOf(pci) } : saved;
}

/** The bytes of `shared`, as they are now. */
export function copyOf(shared: SharedArrayBuffer): Uint8Array {
  return new Uint8Array(shared).slice();
}

/**
 * Fills them in, while nobody uses them.
 *
 * @throws {VireoError} the saved ones are of another size
 */
export function restorePlatform(
  start: VcpuWorkerStart,
  saved: SavedPlatform,
): void {
  for (const [name, shared] of Object.entries(sharedOf(start))) {
    const bytes = saved[name as keyof SavedPlatform];
    // Older snapshots have none: nothing was pressed.
    if (name === "keyboard" && bytes === undefined) continue;
    if (bytes?.length !== shared?.byteLength) {
      throw new VireoError(
        `snapshot: platform.${name} has ${bytes?.length ?? 0} bytes, not ` +
          (shared?.byteLength ?? 0),
      );
    }
    if (shared && bytes) new Uint8Array(shared).set(bytes);
  }
  I8042.freeLock(start.keyboard.state);
  dropOutput(start.serial.state);
}

/**
 * What the guest was told is printed is not for this machine's maker, and
 * nobody has been woken for it here.
 */
function dropOutput(shared: SharedArrayBuffer): void {
  const { words, output } = new SerialState(shared);
  output.popAll();
  words[SerialWord.OUTPUT_SIGNALLED] = 0;
  words[SerialWord.LOCK] = 0;
}
