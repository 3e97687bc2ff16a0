/**
 * For tests: kernels of a few instructions, which print and read, and do
 * nothing else.
 *
 * @module
 */
import { Selector } from "../../guest/boot/long_mode.ts";
import { buildElf } from "../../guest/testing/mod.ts";

/** `mov dx, 0x3f8` */
const DATA = [0x66, 0xba, 0xf8, 0x03];

/** Prints bytes for ever, each one more than the last. */
export const COUNTS = kernel([...DATA, 0xfe, 0xc0, 0xee, 0xeb, 0xfb]);

/** `mov al, 'h'; out`, and so on. */
const SAY_HI = [...DATA, 0xb0, 0x68, 0xee, 0xb0, 0x69, 0xee, 0xb0, 0x0a, 0xee];

/** How an interrupt's gate, and its vector, is found. */
const HANDLER = 0x10_1000, GATES = 0x10_2000, STACK = 0x10_4000, VECTOR = 0x40;

/**
 * Takes interrupts of vector {@linkcode VECTOR}, which do nothing but end a HLT,
 * and none of the old PIC's. `ebx` is the local APIC from here on.
 */
const TAKE_INTERRUPTS = [
  ...[0xbc, ...u32(STACK)], // mov esp, the stack
  ...[0x0f, 0x01, 0x1c, 0x25, ...u32(GATES + 16 * (VECTOR + 1))], // lidt
  ...[0xbb, 0x00, 0x00, 0xe0, 0xfe], // mov ebx, local APIC
  ...[0xc7, 0x83, ...u32(0xf0), ...u32(0x1ff)], // SVR: enabled
  ...[0xc7, 0x83, ...u32(0x350), ...u32(0x1_0000)], // LVT LINT0: masked
];

/**
 * Prints "hi", then sleeps for ever and reads nothing. It would take interrupts,
 * so its machine goes on; and it costs the host nothing.
 */
export const HI = wakeable([
  ...TAKE_INTERRUPTS,
  ...SAY_HI,
  0xfb,
  0xf4,
  0xeb,
  0xfd,
]);

/** `wait: in al, LSR; test al, 1; jz wait` */
const WAIT = [0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7];

/** Reads for ever, and prints nothing: `wait; in al, RBR; jmp wait`. */
export const READS = kernel([...WAIT, ...DATA, 0xec, 0xeb, 0xf0]);

/** Prints "hi", and then what it reads; it sleeps until there is something. */
export const ECHOES = wakeable([
  ...TAKE_INTERRUPTS,
  ...[0xb9, 0x00, 0x00, 0xc0, 0xfe], // mov ecx, I/O APIC
  ...[0xc7, 0x01, ...u32(0x10 + 2 * 4)], // mov [rcx], the serial port's pin
  ...[0xc7, 0x41, 0x10, ...u32(VECTOR)], // mov [rcx + 0x10], vector
  ...[0x66, 0xba, 0xf9, 0x03, 0xb0, 0x01, 0xee], // IER: of what is received
  ...SAY_HI,
  ...[0xfa, 0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01], // wait: cli; in LSR; test
  ...[0x75, 0x04, 0xfb, 0xf4, 0xeb, 0xf2], // jnz got; sti; hlt; jmp wait
  ...[...DATA, 0xec, 0xee, 0xeb, 0xea], // got: in al, RBR; out THR, al; jmp wait
]);

/**
 * Prints bytes for ever, each one more than the last, one in a millisecond or
 * so: what {@linkcode COUNTS} does, where how fast is not the point.
 */
export const TICKS = wakeable([
  ...TAKE_INTERRUPTS,
  ...[0xc7, 0x83, ...u32(0x3e0), ...u32(0xb)], // the timer: undivided, 1 GHz
  ...[0xc7, 0x83, ...u32(0x320), ...u32(0x2_0000 | VECTOR)], // periodic
  ...[0xc7, 0x83, ...u32(0x380), ...u32(1_000_000)],
  ...[0xfb, ...DATA, 0x30, 0xc0], // sti; xor al, al
  ...[0xf4, 0xfe, 0xc0, 0xee, 0xeb, 0xfa], // hlt; inc al; out dx, al; jmp hlt
]);

/**
 * Says "P", waits for an event of ACPI's, at pin 3 of the I/O APIC, without taking
 * interrupts, and powers off. It looks for ACPI's tables, as far as one sees.
 */
export const OBEYS = kernel([
  ...[0xbb, 0x00, 0x00, 0xc0, 0xfe], // mov ebx, I/O APIC
  ...[0xc7, 0x03, 0x16, 0, 0, 0], // mov [rbx], redirection of pin 3, low
  ...[0xc7, 0x43, 0x10, 0x40, 0, 0, 0], // mov [rbx + 0x10], vector 0x40
  ...[0xbb, 0x00, 0x00, 0xe0, 0xfe], // mov ebx, local APIC
  ...[0xc7, 0x83, 0xf0, 0, 0, 0, 0xff, 0x01, 0, 0], // SVR: enabled
  ...[...DATA, 0xb0, 0x50, 0xee], // "P"
  ...[0xf7, 0x83, 0x20, 0x02, 0, 0, 1, 0, 0, 0], // test [IRR, 0x40], 1
  ...[0x74, 0xf4], // jz to the test
  ...[0x66, 0xba, 0x00, 0x06], // mov dx, the sleep control register
  ...[0xb0, 5 << 2 | 0x20, 0xee], // SLP_TYP 5, SLP_EN
  ...new TextEncoder().encode("RSD PTR "),
]);

/** Prints "hi", and then what its keyboard says: `in al, 0x64; test; in; out`. */
export const KEYS = kernel([
  ...DATA,
  ...[0xb0, 0x68, 0xee, 0xb0, 0x69, 0xee, 0xb0, 0x0a, 0xee],
  ...[0xe4, 0x64, 0xa8, 0x01, 0x74, 0xfa, 0xe4, 0x60, 0xee, 0xeb, 0xf5],
]);

/**
 * Restarts when Delete is pressed, and 8192 exits later, so that who has pressed
 * it can see to the end: `in al, 0x64; test; in; cmp; in; loop; out 0x64`.
 */
export const RESTARTS = kernel([
  ...[0xe4, 0x64, 0xa8, 0x01, 0x74, 0xfa, 0xe4, 0x60, 0x3c, 0x71, 0x75, 0xf4],
  ...[0xb9, 0x00, 0x20, 0x00, 0x00, 0xe4, 0x64, 0xe2, 0xfc], // 8192 times in
  ...[0xb0, 0xfe, 0xe6, 0x64, 0xeb, 0xfe],
]);

/**
 * A driver with a mistake: it prints "hi", and reads a byte at port 0x300. If
 * that is 0x80 it reads another at 0x301, and triple-faults when that is 1. Else
 * it says "." and reads again.
 */
export const BREAKS = kernel([
  ...DATA,
  ...[0xb0, 0x68, 0xee, 0xb0, 0x69, 0xee, 0xb0, 0x0a, 0xee],
  ...[0x66, 0xba, 0x00, 0x03, 0xec, 0x3c, 0x80, 0x75, 0x0b], // in; cmp; jne on
  ...[0x66, 0xba, 0x01, 0x03, 0xec, 0x3c, 0x01, 0x75, 0x02, 0x0f, 0x0b], // ud2
  ...[...DATA, 0xb0, 0x2e, 0xee, 0xeb, 0xe3], // on: '.'; again
]);

/** Where {@linkcode NESTED} notes where it comes by, and how many entries it has. */
export const NOTES = { address: 0x20_0000, entries: 512 };

/** As KCOV does: `inc [rdi]; mov rax, [rdi]; mov dword [rdi + rax * 8], place`. */
const note = (place: number) => [
  ...[0x48, 0xff, 0x07, 0x48, 0x8b, 0x07],
  ...[0xc7, 0x04, 0xc7, place, 0, 0, 0],
];

/**
 * A driver that reads three bytes before it looks at one: it prints "hi", reads
 * at the ports 0x300 to 0x302 again and again, and triple-faults when they are
 * 0x80, 1 and 0xff. How far it comes is seen in its notes alone.
 */
export const NESTED = kernel([
  ...DATA,
  ...[0xb0, 0x68, 0xee, 0xb0, 0x69, 0xee, 0xb0, 0x0a, 0xee],
  ...[0xbf, 0, 0, NOTES.address >> 16, 0], // mov edi, the notes
  ...[0x66, 0xba, 0x00, 0x03, 0xec, 0x88, 0xc3], // again: in al, dx; mov bl, al
  ...[0xff, 0xc2, 0xec, 0x88, 0xc1], // inc edx; in al, dx; mov cl, al
  ...[0xff, 0xc2, 0xec, 0x88, 0xc5], // the same, to ch
  ...[0x48, 0xc7, 0x07, 0, 0, 0, 0], // mov qword [rdi], 0
  ...note(1),
  ...[0x80, 0xfb, 0x80, 0x75, 0x26], // cmp bl, 0x80; jne on
  ...note(2),
  ...[0x80, 0xf9, 0x01, 0x75, 0x14], // cmp cl, 1; jne on
  ...note(3),
  ...[0x80, 0xfd, 0xff, 0x75, 0x02, 0x0f, 0x0b], // cmp ch, 0xff; jne on; ud2
  ...[0xeb, 0xae], // on: jmp again
]);

/** Says `text` on the serial port, then goes on with `code`. */
export function says(
  text: string,
  code: readonly number[],
): Uint8Array<ArrayBuffer> {
  const said = new TextEncoder().encode(text);
  return kernel([
    ...[0x48, 0x8d, 0x35, 13 + code.length, 0, 0, 0], // lea rsi, [text]
    ...DATA,
    ...[0xb9, said.length, 0, 0, 0], // mov ecx, length
    ...[0xac, 0xee, 0xe2, 0xfc], // lodsb; out dx, al; loop
    ...[...code, ...said],
  ]);
}

function u32(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => value >>> shift & 0xff);
}

/** A guest of these instructions, and what takes its interrupts. */
function wakeable(code: number[]): Uint8Array<ArrayBuffer> {
  const handler = [
    ...[0x50, 0xb8, 0x00, 0x00, 0xe0, 0xfe], // push rax; mov eax, local APIC
    ...[0xc7, 0x80, ...u32(0xb0), 0, 0, 0, 0], // EOI
    ...[0x58, 0x48, 0xcf], // pop rax; iretq
  ];
  const gate = [
    ...[...u32(HANDLER).slice(0, 2), Selector.CODE, 0, 0, 0x8e],
    ...[...u32(HANDLER).slice(2), ...u32(0), ...u32(0)],
  ];
  const gates = new Uint8Array(16 * (VECTOR + 1) + 10);
  gates.set(gate, 16 * VECTOR);
  // What lidt reads: a limit, and where they are.
  const size = 16 * (VECTOR + 1);
  gates.set([size - 1 & 0xff, size - 1 >> 8, ...u32(GATES)], size);
  return buildElf({
    segments: [
      { address: 0x10_0000n, bytes: Uint8Array.from(code) },
      { address: BigInt(HANDLER), bytes: Uint8Array.from(handler) },
      { address: BigInt(GATES), bytes: gates },
    ],
  });
}

/** The ELF file of a guest of these instructions. */
function kernel(code: number[]): Uint8Array<ArrayBuffer> {
  return buildElf({
    segments: [{ address: 0x10_0000n, bytes: Uint8Array.from(code) }],
  });
}
