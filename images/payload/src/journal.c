/*
 * Mode `journal`: numbered blocks on disk 0, each flushed before it is
 * reported, for ever. Whatever is reported must outlive the machine. With
 * `wait=irq` it sleeps until the disk has answered.
 */
#include "devices.h"
#include "machine.h"
#include "modes.h"
#include "serial.h"

enum { BLOCK = 4096 };

void mode_journal(void) {
  if (!disk_count || !disk_start(disks[0], chosen_wait())) return;
  struct blk *blk = disks[0];
  uint64_t *words = allocate_pages(BLOCK);
  struct buffer data = {words, BLOCK};
  uint64_t blocks = blk->sectors / (BLOCK / SECTOR_SIZE);
  for (uint64_t n = 0;; n++) {
    for (unsigned i = 0; i < BLOCK / sizeof *words; i++) words[i] = n + i;
    uint64_t sector = n % blocks * (BLOCK / SECTOR_SIZE);
    uint8_t status = blk_execute(blk, BLK_OUT, sector, &data, 1);
    if (status == BLK_OK) status = blk_execute(blk, BLK_FLUSH, 0, 0, 0);
    if (!check(status == BLK_OK)) {
      print("journal: block %lu: status %u FAILED\n", n, status);
      return;
    }
    print("journal: %lu\n", n);
  }
}
