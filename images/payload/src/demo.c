/* Mode `demo`: show that every disk and every network interface works. */
#include "demo.h"

#include "modes.h"

void mode_demo(void) {
  for (unsigned i = 0; i < disk_count; i++) demo_disk(disks[i]);
  for (unsigned i = 0; i < network_count; i++) demo_network(networks[i]);
}
