#include "serial.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring0.h"
#include "x86.h"

enum { FIFO_ENABLE_AND_CLEAR = 0x07 };

void serial_init(void) {
  out8(COM1_INTERRUPT_ENABLE, 0);
  out8(COM1_FIFO_CONTROL, FIFO_ENABLE_AND_CLEAR);
}

struct line {
  char text[256];
  size_t length;
};

static void flush(struct line *line) {
  ring0_call(ring0_serial_write, (uintptr_t)line->text, line->length, 0);
  line->length = 0;
}

static void put(struct line *line, char c) {
  if (line->length == sizeof line->text) {
    flush(line);
  }
  line->text[line->length++] = c;
}

static void put_text(struct line *line, const char *text, unsigned width) {
  unsigned length = 0;
  for (; text[length]; length++) put(line, text[length]);
  for (; length < width; length++) put(line, ' ');
}

static void put_number(struct line *line, uint64_t value, unsigned base, unsigned width,
                       char padding) {
  char digits[20];
  unsigned count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value % base];
    value /= base;
  } while (value);
  for (; width > count; width--) put(line, padding);
  while (count) put(line, digits[--count]);
}

void print(const char *format, ...) {
  struct line line = {.length = 0};
  va_list arguments;
  va_start(arguments, format);
  for (const char *p = format; *p; p++) {
    if (*p != '%') {
      put(&line, *p);
      continue;
    }
    char padding = p[1] == '0' ? '0' : ' ';
    unsigned width = 0;
    while (*++p >= '0' && *p <= '9') width = width * 10 + (unsigned)(*p - '0');
    bool wide = *p == 'l';
    if (wide) p++;
    switch (*p) {
      case 's': put_text(&line, va_arg(arguments, const char *), width); break;
      case 'c': put(&line, (char)va_arg(arguments, int)); break;
      case 'd': {
        int value = va_arg(arguments, int);
        if (value < 0) put(&line, '-');
        put_number(&line, (uint64_t)(value < 0 ? -(int64_t)value : value), 10, width, padding);
        break;
      }
      case 'u':
      case 'x': {
        uint64_t value = wide ? va_arg(arguments, uint64_t) : va_arg(arguments, uint32_t);
        put_number(&line, value, *p == 'x' ? 16 : 10, width, padding);
        break;
      }
      default: put(&line, *p);
    }
  }
  va_end(arguments);
  flush(&line);
}
