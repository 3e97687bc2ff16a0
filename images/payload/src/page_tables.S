/*
 * An identity map of the first 4 GiB in 2 MiB pages, all of it open to CPL3.
 * It is data, not code, because filling it at CPL0 takes milliseconds on a
 * software KVM. Accessed and dirty are preset so that nobody needs to write here.
 */
#define PRESENT (1 << 0)
#define WRITABLE (1 << 1)
#define USER (1 << 2)
#define CACHE_DISABLE (1 << 4)
#define ACCESSED (1 << 5)
#define DIRTY (1 << 6)
#define LARGE (1 << 7)

#define TABLE (PRESENT | WRITABLE | USER | ACCESSED)
#define PAGE (TABLE | DIRTY | LARGE)
#define MMIO_START 0xc0000000

        .section .data.page_tables, "aw"
        .balign 4096
        .globl  identity_map
identity_map:                           /* PML4 */
        .quad   directory_pointers + TABLE
        .fill   511, 8, 0
        .globl  directory_pointers
directory_pointers:
        .quad   directories + 0x0000 + TABLE
        .quad   directories + 0x1000 + TABLE
        .quad   directories + 0x2000 + TABLE
        .quad   directories + 0x3000 + TABLE
        .fill   508, 8, 0
directories:
        .set    address, 0
        .rept   2048
        .if     address < MMIO_START
        .quad   address + PAGE
        .else
        .quad   address + PAGE + CACHE_DISABLE
        .endif
        .set    address, address + 0x200000
        .endr

        .section .note.GNU-stack, "", @progbits
