/**
 * ioctl request numbers: `_IO`, `_IOR`, `_IOW`, `_IOWR` of
 * include/uapi/asm-generic/ioctl.h, and the calls.
 *
 * @module
 */
import { check } from "./errno.ts";
import { libc } from "./libc.ts";

const DIRECTION_SHIFT = 30;
const SIZE_SHIFT = 16;
const TYPE_SHIFT = 8;

function request(
  direction: number,
  type: number,
  number: number,
  size: number,
): number {
  return ((direction << DIRECTION_SHIFT) | (size << SIZE_SHIFT) |
    (type << TYPE_SHIFT) | number) >>> 0;
}

/** An ioctl without an argument structure. */
export function _IO(type: number, number: number): number {
  return request(0, type, number, 0);
}

/** An ioctl that reads a structure of `size` bytes from the kernel. */
export function _IOR(type: number, number: number, size: number): number {
  return request(2, type, number, size);
}

/** An ioctl that writes a structure of `size` bytes to the kernel. */
export function _IOW(type: number, number: number, size: number): number {
  return request(1, type, number, size);
}

/** An ioctl that does both. */
export function _IOWR(type: number, number: number, size: number): number {
  return request(3, type, number, size);
}

/** `ioctl(fd, request, value)`; throws `SystemError` with `operation`. */
export function ioctlValue(
  fd: number,
  request: number,
  value: number,
  operation: string,
): number {
  return check(libc.ioctl_value(fd, request, BigInt(value)), operation);
}

/** `ioctl(fd, request, &buffer)`; throws `SystemError` with `operation`. */
export function ioctlBuffer(
  fd: number,
  request: number,
  buffer: BufferSource,
  operation: string,
): number {
  return check(libc.ioctl_buffer(fd, request, buffer), operation);
}
