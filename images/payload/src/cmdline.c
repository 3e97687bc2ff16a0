#include "cmdline.h"

#include "boot.h"
#include "memory.h"

enum { WORDS_MAX = 256 };

static const char *words[WORDS_MAX];
static unsigned word_count;

void cmdline_parse(void) {
  bool in_word = false;
  for (char *p = boot.command_line; *p; p++) {
    bool blank = *p == ' ' || *p == '\t' || *p == '\n';
    if (blank) *p = 0;
    if (!blank && !in_word && word_count < WORDS_MAX) words[word_count++] = p;
    in_word = !blank;
  }
}

bool cmdline_has(const char *word) {
  for (unsigned i = 0; i < word_count; i++) {
    if (text_equals(words[i], word)) return true;
  }
  return false;
}

static const char *after_prefix(const char *word, const char *name) {
  while (*name && *word == *name) word++, name++;
  return !*name && *word == '=' ? word + 1 : 0;
}

const char *cmdline_value(const char *name, unsigned n) {
  for (unsigned i = 0; i < word_count; i++) {
    const char *value = after_prefix(words[i], name);
    if (value && n-- == 0) return value;
  }
  return 0;
}

uint64_t cmdline_number(const char *name, uint64_t fallback) {
  const char *text = cmdline_value(name, 0);
  return text ? parse_number(&text) : fallback;
}

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

uint64_t parse_number(const char **text) {
  const char *p = *text;
  int base = 10;
  if (p[0] == '0' && (p[1] | 0x20) == 'x') {
    base = 16;
    p += 2;
  }
  uint64_t value = 0;
  for (; digit(*p) < base; p++) value = value * (uint64_t)base + (uint64_t)digit(*p);
  switch (*p | 0x20) {
    case 'g': value <<= 10; /* fall through */
    case 'm': value <<= 10; /* fall through */
    case 'k': value <<= 10; p++;
  }
  *text = p;
  return value;
}

uint32_t parse_ipv4(const char *text) {
  uint32_t address = 0;
  for (unsigned i = 0; i < 4; i++) {
    uint64_t byte = parse_number(&text);
    if (byte > 255 || (i < 3 && *text++ != '.')) return 0;
    address = address << 8 | (uint32_t)byte;
  }
  return address;
}
