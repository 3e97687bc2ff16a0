#include "memory.h"

#include "boot.h"
#include "machine.h"

void *memcpy(void *to, const void *from, size_t length) {
  void *start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
  return start;
}

void *memset(void *to, int byte, size_t length) {
  void *start = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(byte) : "memory");
  return start;
}

int memcmp(const void *a, const void *b, size_t length) {
  const uint8_t *x = a, *y = b;
  for (size_t i = 0; i < length; i++) {
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  }
  return 0;
}

bool text_equals(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

void *allocate_pages(size_t bytes) {
  static uintptr_t next = (uintptr_t)payload_end;
  size_t size = (bytes + PAGE_SIZE - 1) & ~(size_t)(PAGE_SIZE - 1);
  if (boot.heap_end < next || size > boot.heap_end - next) machine_panic("out of memory");
  void *pages = (void *)next;
  next += size;
  return memset(pages, 0, size);
}
