/**
 * Files and FIFOs that lines are written to. They are opened for reading, too,
 * so that a FIFO needs no reader, and never waited for: what has no room is
 * lost, and counted.
 *
 * @module
 */
import { Open, openFd } from "../ffi/file.ts";
import { libc } from "../ffi/libc.ts";

const encoder = new TextEncoder();
const MODE = 0o644;

/**
 * Opens a file, which is made if it isn't there, and neither cut nor appended
 * to.
 *
 * @returns writes a text; false: there was no room for all of it
 * @throws {SystemError} it can't be had
 */
export function openOutput(path: string): (text: string) => boolean {
  const flags = Open.RDWR | Open.CREAT | Open.NONBLOCK;
  const fd = openFd(path, flags, "output", MODE); // as long as the process
  return (text) => {
    const bytes = encoder.encode(text);
    return libc.write_u32(fd, bytes, bytes.length) === bytes.length;
  };
}

/** The same for bytes, such as a console's. */
export function openByteOutput(path: string): (bytes: Uint8Array) => void {
  const flags = Open.RDWR | Open.CREAT | Open.NONBLOCK;
  const fd = openFd(path, flags, "serial output", MODE);
  return (bytes) => void libc.write_u32(fd, bytes, bytes.length);
}
