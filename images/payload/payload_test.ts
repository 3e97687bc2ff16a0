import { readPayload } from "./payload.ts";

const ENTRY = 0x10_0000;
const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

/** Offsets into `Elf64_Ehdr`, `Elf64_Phdr` and `Elf64_Nhdr`. */
const EHDR = { e_entry: 24, e_phoff: 32, e_phentsize: 54, e_phnum: 56 };
const PHDR = { p_type: 0, p_offset: 8 };
const NHDR = { n_type: 8, name: 12 };

/** The offset of the first PT_NOTE segment's contents. */
function findNote(elf: DataView): number {
  const table = Number(elf.getBigUint64(EHDR.e_phoff, true));
  for (let i = 0; i < elf.getUint16(EHDR.e_phnum, true); i++) {
    const header = table + i * elf.getUint16(EHDR.e_phentsize, true);
    if (elf.getUint32(header + PHDR.p_type, true) === PT_NOTE) {
      return Number(elf.getBigUint64(header + PHDR.p_offset, true));
    }
  }
  throw new Error("no PT_NOTE segment");
}

Deno.test("payload: the ELF enters at 1 MiB and carries a PVH entry note", async () => {
  const elf = new DataView((await readPayload()).buffer);
  const entry = Number(elf.getBigUint64(EHDR.e_entry, true));
  if (entry !== ENTRY) throw new Error(`e_entry is 0x${entry.toString(16)}`);
  const note = findNote(elf);
  const type = elf.getUint32(note + NHDR.n_type, true);
  const name = elf.getUint32(note + NHDR.name, false);
  if (type !== XEN_ELFNOTE_PHYS32_ENTRY || name !== 0x58656e00 /* "Xen\0" */) {
    throw new Error(`the note is of type ${type}`);
  }
});
