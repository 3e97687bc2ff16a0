/* The instructions that C has no words for. */
#pragma once

#include <stdint.h>

static inline void out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static inline void out32(uint16_t port, uint32_t value) {
  __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint32_t in32(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

/* Device registers: plain MOVs only, which every KVM can decode. */
static inline uint32_t mmio_read32(uintptr_t address) {
  uint32_t value;
  __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline void mmio_write32(uintptr_t address, uint32_t value) {
  __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline uint16_t mmio_read16(uintptr_t address) {
  uint16_t value;
  __asm__ volatile("movw (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline void mmio_write16(uintptr_t address, uint16_t value) {
  __asm__ volatile("movw %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline uint8_t mmio_read8(uintptr_t address) {
  uint8_t value;
  __asm__ volatile("movb (%1), %0" : "=q"(value) : "r"(address) : "memory");
  return value;
}

static inline void mmio_write8(uintptr_t address, uint8_t value) {
  __asm__ volatile("movb %0, (%1)" : : "q"(value), "r"(address) : "memory");
}

static inline uint64_t mmio_read64(uintptr_t address) {
  uint64_t value;
  __asm__ volatile("movq (%1), %0" : "=r"(value) : "r"(address) : "memory");
  return value;
}

static inline void mmio_write64(uintptr_t address, uint64_t value) {
  __asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

/* x86 keeps stores in order and loads in order; only the compiler must be told. */
static inline void compiler_barrier(void) { __asm__ volatile("" : : : "memory"); }

/* The one reordering x86 does: a load may pass an earlier store. */
static inline void store_load_fence(void) {
  __asm__ volatile("lock addl $0, -4(%%rsp)" : : : "memory", "cc");
}

static inline void cpu_pause(void) { __asm__ volatile("pause" : : : "memory"); }

static inline uint64_t read_tsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
  return low | (uint64_t)high << 32;
}

/* a * b / c through a 128-bit product; the quotient must fit 64 bits. */
static inline uint64_t multiply_divide(uint64_t a, uint64_t b, uint64_t c) {
  uint64_t quotient, high;
  __asm__("mulq %3\n\tdivq %4" : "=a"(quotient), "=&d"(high) : "0"(a), "r"(b), "r"(c) : "cc");
  return quotient;
}

static inline uint16_t swap16(uint16_t value) { return __builtin_bswap16(value); }
static inline uint32_t swap32(uint32_t value) { return __builtin_bswap32(value); }
