/**
 * Resource descriptors: what `_CRS` says about the ports, addresses and
 * interrupts of a device. Section numbers are those of ACPI 6.3; each function
 * is named after the ASL macro that it encodes.
 *
 * @module
 */
import { type Aml, buffer, littleEndian } from "./aml.ts";
import { checksum } from "./table.ts";

/** One descriptor. */
export type Resource = Aml;

/** First bytes: small items carry their length in bits 2 to 0 (§6.4.2). */
const Tag = {
  IO: 0x47,
  END: 0x79,
  MEMORY32_FIXED: 0x86,
  DWORD_ADDRESS_SPACE: 0x87,
  WORD_ADDRESS_SPACE: 0x88,
  EXTENDED_INTERRUPT: 0x89,
} as const;

/** I/O port descriptor, information (§6.4.2.5): 16 address lines. */
const DECODE_16 = 1;
/** 32-bit fixed memory range, information (§6.4.3.4). */
const READ_WRITE = 1;
/**
 * Extended interrupt, flags (§6.4.3.6). Active high is bit 2 clear: a device
 * raises its pin of KVM's I/O APIC, and lowers it at once. Exclusive is bit 3
 * clear: no two devices share a GSI.
 */
const CONSUMER = 1 << 0, EDGE = 1 << 1;

/** Address spaces (§6.4.3.5): resource type, and general flags. */
const SPACE_MEMORY = 0, SPACE_BUS_NUMBER = 2;
const MIN_AND_MAX_FIXED = 0x0c;

/** `IO (Decode16, port, port, 1, count)`: `count` ports from `port`. */
export function io(port: number, count: number): Resource {
  const ALIGNMENT = 1;
  const range = littleEndian(port, 2);
  return [Tag.IO, DECODE_16, ...range, ...range, ALIGNMENT, count];
}

/** `Memory32Fixed (ReadWrite, address, size)`. */
export function memory32Fixed(address: number, size: number): Resource {
  return large(Tag.MEMORY32_FIXED, [
    READ_WRITE,
    ...littleEndian(address, 4),
    ...littleEndian(size, 4),
  ]);
}

/** `Interrupt (ResourceConsumer, Edge or Level, ActiveHigh, Exclusive) {gsi}`. */
export function interrupt(gsi: number, level = false): Resource {
  const COUNT = 1;
  return large(Tag.EXTENDED_INTERRUPT, [
    level ? CONSUMER : CONSUMER | EDGE,
    COUNT,
    ...littleEndian(gsi, 4),
  ]);
}

/**
 * `WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, first,
 * last, 0, count)` (§6.4.3.5.3).
 */
export function wordBusNumber(first: number, last: number): Resource {
  return large(Tag.WORD_ADDRESS_SPACE, [
    SPACE_BUS_NUMBER,
    MIN_AND_MAX_FIXED,
    0,
    ...[0, first, last, 0, last - first + 1].flatMap((value) =>
      littleEndian(value, 2)
    ),
  ]);
}

/**
 * `DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
 * ReadWrite, 0, first, last, 0, size)` (§6.4.3.5.2).
 */
export function dwordMemory(address: number, size: number): Resource {
  return large(Tag.DWORD_ADDRESS_SPACE, [
    SPACE_MEMORY,
    MIN_AND_MAX_FIXED,
    READ_WRITE,
    ...[0, address, address + size - 1, 0, size].flatMap((value) =>
      littleEndian(value, 4)
    ),
  ]);
}

/** `ResourceTemplate () {...}`: a buffer that ends with a checksum. */
export function resourceTemplate(...resources: Resource[]): Aml {
  const bytes = [...resources.flat(), Tag.END];
  return buffer([...bytes, checksum(bytes)]);
}

/** A large item (§6.4.3): its length follows the tag. */
function large(tag: number, content: Aml): Resource {
  return [tag, ...littleEndian(content.length, 2), ...content];
}
