/** A guest of a few bytes, as an ELF file: it lights the LEDs of port 0x300 in turn. */
const CODE = [
  ...[0x66, 0xba, 0x00, 0x03], // mov dx, 0x300
  ...[0xb0, 0x01], // mov al, 1
  0xee, // out dx, al
  ...[0xd0, 0xc0], // rol al, 1
  ...[0xeb, 0xfb], // jmp to the out
];
const START = 0x10_0000n; // 1 MiB, in memory and where it begins
const HEADERS = 64 + 56;

export const light = new Uint8Array(HEADERS + CODE.length);
light.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // ELF, 64 bits, little-endian
light.set(CODE, HEADERS);
const view = new DataView(light.buffer);
const half = { 16: 2, 18: 62, 20: 1, 52: 64, 54: 56, 56: 1, 64: 1, 68: 5 };
for (const [at, value] of Object.entries(half)) {
  view.setUint16(Number(at), value, true); // executable, x86-64, one segment
}
const size = BigInt(CODE.length);
const long = { 24: START, 32: 64n, 72: BigInt(HEADERS), 80: START, 88: START };
for (const [at, value] of Object.entries({ ...long, 96: size, 104: size })) {
  view.setBigUint64(Number(at), value, true); // entry, and the segment's place
}
