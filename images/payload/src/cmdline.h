/* The command line as words: flags, `name=value`, and lists of the same name. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Split boot.command_line. Unknown words are nobody's business. */
void cmdline_parse(void);

/* Is this word there? */
bool cmdline_has(const char *word);

/* The text behind the n-th `name=`, or null. */
const char *cmdline_value(const char *name, unsigned n);

/* The number behind `name=` (with an optional K, M or G), or the default. */
uint64_t cmdline_number(const char *name, uint64_t fallback);

/* Parse a decimal or 0x number with an optional K, M or G; advances the text. */
uint64_t parse_number(const char **text);

/* Parse A.B.C.D into host byte order; 0 when it is none. */
uint32_t parse_ipv4(const char *text);
