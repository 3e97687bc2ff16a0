/* The payload at CPL3: find out what to do, do it, say how it went. */
#include "boot.h"
#include "clock.h"
#include "cmdline.h"
#include "devices.h"
#include "interrupts.h"
#include "machine.h"
#include "memory.h"
#include "modes.h"
#include "serial.h"

static void print_banner(void) {
  print("vireo payload: %s boot, %lu MiB RAM, TSC %lu MHz\n", boot.protocol,
        (boot.ram_bytes + MIB(1) / 2) / MIB(1), clock_tsc_hz() / 1000000);
}

static void run_modes(void) {
  bool serve = cmdline_value("serve", 0);
  bool bench = cmdline_value("bench", 0);
  bool hostile = cmdline_value("hostile", 0);
  bool journal = cmdline_has("journal");
  bool orders = cmdline_value("orders", 0);
  bool smp = cmdline_value("smp", 0);
  bool memory = cmdline_has("memory");
  bool storm = cmdline_value("storm", 0);
  bool other = storm || serve || hostile || bench || journal || orders || smp || memory;
  if (cmdline_has("demo") || !other) mode_demo();
  if (memory) mode_memory();
  if (smp) mode_smp();
  if (hostile) mode_hostile();
  if (storm) mode_storm();
  if (bench) mode_bench();
  if (journal) mode_journal();
  if (orders) mode_orders();
  if (serve) mode_serve();
}

/* Called by entry.S. */
_Noreturn void payload_main(uint32_t protocol, const void *information);

void payload_main(uint32_t protocol, const void *information) {
  traps_init();
  serial_init();
  boot_read(protocol, information);
  cmdline_parse();
  if (cmdline_has("hello")) {
    print("payload: hello\n");
    machine_end();
  }
  clock_init();
  interrupts_init();
  print_banner();
  devices_init();
  run_modes();
  machine_finish();
}
