/*
 * Mode `orders=STATUS`: asks for its orders as the init of the prepared root
 * image does (images/linux/orders.h), prints their commands between init's
 * marks, and ends with STATUS; where they are `wait`, it sleeps for ever.
 */
#include "cmdline.h"
#include "machine.h"
#include "modes.h"
#include "ring0.h"
#include "serial.h"

enum { PORT = 0x7e00, GREETING = 0x56495200, NOT_YET = 0xfffffffe };
enum { NONCE = 1, COMMANDS = 2, TYPES };

static char texts[TYPES][4096];

/* The greeting, the length, or the next four bytes. */
static uint32_t ask(uint16_t offset) {
  return (uint32_t)ring0_call(ring0_port_read32, PORT + offset, 0, 0);
}

static void read_record(uint32_t type, uint32_t length) {
  for (uint32_t at = 0; at < length; at += 4) {
    uint32_t word = ask(8);
    if (type >= TYPES) continue;
    for (uint32_t i = at; i < at + 4 && i < length && i < sizeof texts[type] - 1; i++)
      texts[type][i] = (char)(word >> 8 * (i - at));
  }
}

void mode_orders(void) {
  if (!check((ask(0) & ~0xffu) == GREETING)) {
    print("orders: nobody gives any FAILED\n");
    return;
  }
  uint32_t length;
  do length = ask(4);
  while (length == NOT_YET);
  while (length >= 4) {
    uint32_t head = ask(8), bytes = head >> 16;
    read_record(head & 0xffff, bytes);
    uint32_t whole = 4 + (bytes + 3) / 4 * 4;
    length = whole < length ? length - whole : 0;
  }
  print("\033_vireo:%s:begin\033\\%s", texts[NONCE], texts[COMMANDS]);
  const char *wait = "wait", *said = texts[COMMANDS];
  while (*wait && *wait == *said) wait++, said++;
  if (!*wait && !*said) ring0_call(ring0_park, 0, 0, 0);
  uint32_t status = (uint32_t)cmdline_number("orders", 0);
  print("\033_vireo:%s:end:%u\033\\", texts[NONCE], status);
}
