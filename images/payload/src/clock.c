#include "clock.h"

#include "memory.h"
#include "ring0.h"
#include "x86.h"

enum { KVM_CPUID_SIGNATURE = 0x40000000, MSR_KVM_SYSTEM_TIME_NEW = 0x4b564d01 };
enum { PVCLOCK_ENABLE = 1, CLOCK_POLLS = 100000 };
enum { ASSUMED_HZ = 1000000000 };

/* struct pvclock_vcpu_time_info (Linux arch/x86/include/asm/pvclock-abi.h) */
struct pvclock {
  uint32_t version, padding;
  uint64_t tsc_timestamp, system_time;
  uint32_t tsc_to_system_mul;
  int8_t tsc_shift;
  uint8_t flags, padding2[2];
};

static volatile struct pvclock pvclock __attribute__((aligned(64)));
static uint64_t tsc_hz;

static bool is_kvm(void) {
  uint32_t registers[4];
  ring0_call(ring0_cpuid, KVM_CPUID_SIGNATURE, (uintptr_t)registers, 0);
  return memcmp(&registers[1], "KVMKVMKVM\0\0\0", 12) == 0;
}

/* kvm-clock holds the exact scale from TSC ticks to nanoseconds, on every KVM. */
void clock_init(void) {
  if (!is_kvm()) return;
  ring0_call(ring0_write_msr, MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)&pvclock | PVCLOCK_ENABLE, 0);
  for (unsigned i = 0; i < CLOCK_POLLS && !pvclock.tsc_to_system_mul; i++) cpu_pause();
  ring0_call(ring0_write_msr, MSR_KVM_SYSTEM_TIME_NEW, 0, 0);
  if (!pvclock.tsc_to_system_mul) return;
  uint64_t hz = (1000000000ull << 32) / pvclock.tsc_to_system_mul;
  tsc_hz = pvclock.tsc_shift < 0 ? hz << -pvclock.tsc_shift : hz >> pvclock.tsc_shift;
}

uint64_t clock_tsc_hz(void) { return tsc_hz; }

static uint64_t ticks_per_second(void) { return tsc_hz ? tsc_hz : ASSUMED_HZ; }

uint64_t clock_nanoseconds(uint64_t tsc_ticks) {
  return multiply_divide(tsc_ticks, 1000000000, ticks_per_second());
}

uint64_t clock_ticks(uint64_t microseconds) {
  return multiply_divide(microseconds, ticks_per_second(), 1000000);
}

uint64_t clock_deadline(uint64_t microseconds) { return read_tsc() + clock_ticks(microseconds); }

bool clock_passed(uint64_t deadline) { return (int64_t)(read_tsc() - deadline) >= 0; }
