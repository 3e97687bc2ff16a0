/*
 * Everything that runs at CPL0 after boot: the call gate for the few
 * privileged instructions we need, and the interrupt and exception stubs.
 *
 * CPL3 runs with interrupts off. They are taken in one place only, inside
 * halt_for_interrupt, so no interrupt can be lost between a check and a HLT,
 * and a handler never has to return: it ends the halt.
 */
#include "interrupts.h"
#include "segments.h"
#include "serial.h"
#include "virtio_mmio_registers.h"

#define UD2_LENGTH 2

        .text
        .code64

/*
 * uint64_t ring0_call(function, a, b, c): run an assembly function of this
 * file at CPL0. UD2 is the gate because #UD reaches the guest's IDT on every
 * host, which INT n does not on a software KVM.
 */
        .globl  ring0_call
ring0_call:
        mov     %rdi, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
ring0_gate:
        ud2
        ret

invalid_opcode:
        cmpq    $ring0_gate, (%rsp)
        jne     unexpected_invalid_opcode
        call    *%rax
        addq    $UD2_LENGTH, (%rsp)
        iretq
unexpected_invalid_opcode:
        pushq   $0
        pushq   $VECTOR_INVALID_OPCODE
        jmp     exception

/* Interrupts are off here; STI takes effect after HLT has begun. */
        .globl  halt_for_interrupt
halt_for_interrupt:
        sti
        hlt
        cli
        ret

/* On the stack: the GSI, then the interrupt frame of halt_for_interrupt. */
device_interrupt:
        pop     %rcx
        incl    interrupt_counts(, %rcx, 4)
        mov     interrupt_windows(, %rcx, 4), %edx
        test    %edx, %edx
        jz      end_of_interrupt
        mov     VIRTIO_MMIO_INTERRUPT_STATUS(%rdx), %eax
        mov     %eax, VIRTIO_MMIO_INTERRUPT_ACK(%rdx)
        or      %eax, interrupt_statuses(, %rcx, 4)
end_of_interrupt:
        mov     $LAPIC_BASE + LAPIC_EOI, %edx
        xor     %eax, %eax
        mov     %eax, (%rdx)
spurious_interrupt:
        mov     24(%rsp), %rsp          /* RSP of the halted code: drop the frame */
        ret

/*
 * An exception nobody expects: continue at CPL3 in
 * report_exception(vector, error, rip, cr2), which ends the machine.
 * On the stack: vector, error code, interrupt frame.
 */
exception:
        pop     %rdi
        pop     %rsi
        mov     (%rsp), %rdx
        mov     %cr2, %rcx
        movq    $report_exception, (%rsp)
        movq    $USER_CODE, 8(%rsp)
        movq    $user_stack_top - 8, 24(%rsp)
        movq    $USER_DATA, 32(%rsp)
        iretq

        .globl  ring0_write_msr         /* (msr, value) */
ring0_write_msr:
        mov     %edi, %ecx
        mov     %esi, %eax
        mov     %rsi, %rdx
        shr     $32, %rdx
        wrmsr
        ret

        .globl  ring0_cpuid             /* (leaf, uint32_t registers[4]) */
ring0_cpuid:
        mov     %rbx, %r8
        mov     %edi, %eax
        xor     %ecx, %ecx
        cpuid
        mov     %eax, (%rsi)
        mov     %ebx, 4(%rsi)
        mov     %ecx, 8(%rsi)
        mov     %edx, 12(%rsi)
        mov     %r8, %rbx
        ret

/*
 * (text, length). A port write exits three times as fast from CPL0 as from
 * CPL3 on a software KVM. An empty FIFO takes 16 bytes per status read.
 */
        .globl  ring0_serial_write
ring0_serial_write:
        mov     %rsi, %r8
        mov     %rdi, %rsi
next_fifo:
        test    %r8, %r8
        jz      serial_done
        mov     $COM1_LINE_STATUS, %edx
wait_for_fifo:
        in      %dx, %al
        test    $TRANSMITTER_EMPTY, %al
        jz      wait_for_fifo
        mov     $FIFO_DEPTH, %ecx
        cmp     %rcx, %r8
        cmovb   %r8, %rcx
        sub     %rcx, %r8
        mov     $COM1, %edx
        rep outsb
        jmp     next_fifo
serial_done:
        ret

/* (address, count[, value or second address]): loops for the benchmarks. */
        .globl  ring0_mmio_read_loop
ring0_mmio_read_loop:
        mov     (%rdi), %eax
        dec     %esi
        jnz     ring0_mmio_read_loop
        ret

        .globl  ring0_mmio_write_loop
ring0_mmio_write_loop:
        mov     %edx, (%rdi)
        dec     %esi
        jnz     ring0_mmio_write_loop
        ret

        .globl  ring0_mmio_ack_loop
ring0_mmio_ack_loop:
        mov     (%rdi), %eax
        mov     %eax, (%rdx)
        dec     %esi
        jnz     ring0_mmio_ack_loop
        ret

        .globl  ring0_port_read_loop
ring0_port_read_loop:
        mov     %edi, %edx
next_port_read:
        in      %dx, %al
        dec     %esi
        jnz     next_port_read
        ret

        .globl  ring0_port_read32       /* (port) */
ring0_port_read32:
        mov     %edi, %edx
        in      %dx, %eax
        ret

/* Interrupts are off: only INIT or an NMI would wake this CPU. */
        .globl  ring0_park
ring0_park:
        hlt
        jmp     ring0_park

        .globl  ring0_triple_fault
ring0_triple_fault:
        lidt    no_idt
        ud2

/* One stub of STUB_SIZE bytes per vector, so that C can compute the IDT. */
        .balign STUB_SIZE
        .globl  interrupt_stubs
interrupt_stubs:
        .set    vector, 0
        .rept   VECTOR_COUNT
        .balign STUB_SIZE
        .if vector == VECTOR_INVALID_OPCODE
        jmp     invalid_opcode
        .elseif vector < VECTOR_DEVICES
        .if ((1 << vector) & EXCEPTIONS_WITH_ERROR_CODE) == 0
        pushq   $0
        .endif
        pushq   $vector
        jmp     exception
        .elseif vector < VECTOR_SPURIOUS
        pushq   $vector - VECTOR_DEVICES
        jmp     device_interrupt
        .else
        jmp     spurious_interrupt
        .endif
        .set    vector, vector + 1
        .endr

        .data
no_idt: .word   0
        .quad   0

        .section .note.GNU-stack, "", @progbits
