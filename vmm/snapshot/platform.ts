/**
 * The shared memory of a machine's small devices, which a snapshot copies.
 *
 * @module
 */
import { I8042 } from "../../devices/platform/i8042.ts";
import { SerialState } from "../../devices/platform/serial_state.ts";
import { VireoError } from "../../ffi/error.ts";
import type { VcpuWorkerStart } from "../messages.ts";
import type { SavedPlatform } from "./saved_machine.ts";

/** Of older snapshots, which have none: nothing was pressed. */
const IDLE_KEYBOARD = copyOf(I8042.share().state);

/** The others' memory, by their names in {@linkcode SavedPlatform}. */
function sharedOf(
  { rtc, bootTimer, keyboard, pci }: VcpuWorkerStart,
): Record<
  Exclude<keyof SavedPlatform, "serial">,
  SharedArrayBuffer | undefined
> {
  return { rtc, bootTimer, keyboard: keyboard.state, pci: pci?.config };
}

/** Copies them; nobody may use them meanwhile. */
export function savePlatform(start: VcpuWorkerStart): SavedPlatform {
  const { rtc, bootTimer, keyboard, pci } = sharedOf(start);
  return {
    serial: new SerialState(start.serial.state).save(),
    rtc: copyOf(rtc!),
    bootTimer: copyOf(bootTimer!),
    keyboard: copyOf(keyboard!),
    ...(pci && { pci: copyOf(pci) }),
  };
}

/** The bytes of `shared`, as they are now. */
export function copyOf(shared: SharedArrayBuffer): Uint8Array {
  return new Uint8Array(shared).slice();
}

/**
 * Fills them in, while nobody uses them. What the guest was told is printed is
 * not for this machine's maker, and nobody has been woken for it here.
 *
 * @throws {VireoError} the saved ones are of another size
 */
export function restorePlatform(
  start: VcpuWorkerStart,
  saved: SavedPlatform,
): void {
  const { serial } = saved;
  if (!new SerialState(start.serial.state).restore(serial)) {
    throw new VireoError(
      `snapshot: platform.serial has ${serial.length} bytes`,
    );
  }
  for (const [name, shared] of Object.entries(sharedOf(start))) {
    const bytes = saved[name as keyof SavedPlatform] ??
      (name === "keyboard" ? IDLE_KEYBOARD : undefined);
    if (bytes?.length !== shared?.byteLength) {
      throw new VireoError(
        `snapshot: platform.${name} has ${bytes?.length ?? 0} bytes, not ` +
          (shared?.byteLength ?? 0),
      );
    }
    if (shared && bytes) new Uint8Array(shared).set(bytes);
  }
  I8042.freeLock(start.keyboard.state);
}
