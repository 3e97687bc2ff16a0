/* Bytes, and pages from the RAM behind the payload. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096u
#define KIB(n) ((n) * 1024u)
#define MIB(n) ((n) * 1024u * 1024u)

/* Where the image and its BSS end (payload.ld). */
extern char payload_end[];

void *memcpy(void *to, const void *from, size_t length);
void *memset(void *to, int byte, size_t length);
int memcmp(const void *a, const void *b, size_t length);
bool text_equals(const char *a, const char *b);

/* Zeroed pages that are never freed; ends the machine when RAM is used up. */
void *allocate_pages(size_t bytes);
