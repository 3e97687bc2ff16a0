/*
 * Both ways in, and the way down to CPL3.
 *
 * linux_entry  the 64-bit Linux boot protocol: long mode, low memory mapped
 *              one to one, RSI = struct boot_params
 * pvh_entry    the Xen PVH ABI (ELF note): 32-bit protected mode without
 *              paging, EBX = struct hvm_start_info
 *
 * On a software KVM, CPL0 code is emulated instruction by instruction, so
 * nothing happens here that C at CPL3 could do instead. Ports are opened to
 * CPL3 by the TSS's I/O bitmap: a software KVM does not honour IOPL.
 */
#include "boot.h"
#include "cpus.h"
#include "segments.h"

#define CR0_PE (1 << 0)
#define CR0_ET (1 << 4)
#define CR0_NE (1 << 5)
#define CR0_WP (1 << 16)
#define CR0_PG (1 << 31)
#define CR4_PAE (1 << 5)
#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)
#define RFLAGS_RESERVED (1 << 1)
#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define STACK_SIZE 0x4000

        .section .note.Xen, "a", @note
        .long   4, 8, XEN_ELFNOTE_PHYS32_ENTRY
        .asciz  "Xen"
        .quad   pvh_entry

        .section .text.entry, "ax"
        .code64
        .globl  linux_entry
linux_entry:
        cli
        mov     $BOOT_LINUX64, %edi
        mov     $CR4_PAE, %eax          /* no SMEP, SMAP or PCID */
        mov     %rax, %cr4
        mov     $identity_map, %eax
        mov     %rax, %cr3

/* EDI = boot protocol, RSI = its information; our page tables are active. */
enter_user_mode:
        mov     $task_state, %eax       /* the one descriptor the assembler can't split */
        mov     %ax, gdt_task_state + 2
        shr     $16, %eax
        mov     %al, gdt_task_state + 4
        mov     %ah, gdt_task_state + 7
        lgdt    gdt_pointer
        lidt    idt_pointer             /* filled in later, at CPL3 */
        mov     $TASK_STATE, %eax
        ltr     %ax
        mov     $USER_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        pushq   $USER_DATA
        pushq   $user_stack_top - 8     /* as after a call: RSP + 8 is 16-byte aligned */
        pushq   $RFLAGS_RESERVED
        pushq   $USER_CODE
        pushq   $payload_main
        iretq

        .code32
pvh_entry:
        cli
        mov     $BOOT_PVH, %edi
        mov     %ebx, %esi
        lgdt    gdt_pointer
        mov     $CR4_PAE, %eax
        mov     %eax, %cr4
        mov     $identity_map, %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $EFER_LME, %eax
        wrmsr
        mov     $CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_PE, %eax
        mov     %eax, %cr0
        ljmp    $KERNEL_CODE, $pvh_long_mode
        .code64
pvh_long_mode:
        mov     %edi, %edi              /* clear the upper halves */
        mov     %esi, %esi
        mov     $ring0_stack_top, %esp
        jmp     enter_user_mode

/*
 * Where another CPU begins, in real mode: this is copied to AP_TRAMPOLINE, so
 * nothing in it is relative to anything outside. From here to long mode at
 * once, on the 16-bit code segment that the CPU was started with.
 */
        .code16
        .globl  ap_trampoline
ap_trampoline:
        cli
        lgdtl   %cs:ap_gdt_pointer - ap_trampoline
        mov     $CR4_PAE, %eax
        mov     %eax, %cr4
        mov     $identity_map, %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $EFER_LME, %eax
        wrmsr
        mov     $CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_PE, %eax
        mov     %eax, %cr0
        ljmpl   $KERNEL_CODE, $ap_long_mode
ap_gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
        .globl  ap_trampoline_end
ap_trampoline_end:

/* One at a time: cpus.c has put everything where we find it. */
        .code64
ap_long_mode:
        mov     $KERNEL_DATA, %eax
        mov     %eax, %ss
        mov     ap_ring0_stack, %rsp
        lidt    idt_pointer
        mov     $AP_TASK_STATE, %eax
        ltr     %ax
        mov     $USER_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        pushq   $USER_DATA
        pushq   ap_user_stack
        pushq   $RFLAGS_RESERVED
        pushq   $USER_CODE
        pushq   $ap_main
        iretq

        .data
        .balign 8
        .globl  gdt_ap_task_state
gdt:    .quad   0, 0
        .quad   0x00af9b000000ffff      /* KERNEL_CODE: 64-bit, DPL 0 */
        .quad   0x00cf93000000ffff      /* KERNEL_DATA */
        .quad   0                       /* Linux has a 32-bit user segment here */
        .quad   0x00cff3000000ffff      /* USER_DATA: DPL 3 */
        .quad   0x00affb000000ffff      /* USER_CODE: 64-bit, DPL 3 */
        .quad   0
gdt_task_state:
        .word   TASK_STATE_SIZE + IO_BITMAP_SIZE - 1
        .byte   0, 0, 0, 0x89, 0, 0     /* 64-bit TSS; its base is set above */
        .quad   0
gdt_ap_task_state:
        .quad   0, 0                    /* cpus.c */
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .quad   gdt
idt_pointer:
        .word   256 * 16 - 1
        .quad   idt

        .balign 8
task_state:
        .long   0
        .quad   ring0_stack_top         /* RSP0 */
        .fill   90, 1, 0
        .word   TASK_STATE_SIZE         /* where the I/O bitmap starts */
        .fill   IO_BITMAP_SIZE, 1, 0    /* 0 = CPL3 may use the port */

        .bss
        .balign 4096
        .globl  idt
idt:    .skip   256 * 16
        .skip   STACK_SIZE
ring0_stack_top:
        .skip   STACK_SIZE
        .globl  user_stack_top
user_stack_top:

        .section .note.GNU-stack, "", @progbits
