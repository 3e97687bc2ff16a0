/* Storms on shared memory: rings, tables and headers change while the device reads them. */
#include "storm_memory.h"

#include "boot.h"
#include "random.h"
#include "x86.h"

enum { FLIPS = 256, EDGE = 8 };

/* In the arena, in the rings themselves, at the edge of RAM, and where none is. */
static uint64_t wrong_address(const struct victim *victim) {
  uint64_t random = random_next();
  uintptr_t data = (uintptr_t)victim->arena + STORM_DATA +
                   (random >> 8) % STORM_GROUPS * STORM_DATA_SIZE;
  switch (random & 7) {
    case 0: return STORM_BEYOND_RAM + data;
    case 1: return STORM_HOLE;
    case 2: return STORM_LAST_PAGE;
    case 3: return boot.heap_end - EDGE;
    case 4: return (uintptr_t)victim->queue->desc;
    case 5: return (uintptr_t)victim->queue->indirect;
    default: return data;
  }
}

static uint32_t wrong_length(void) {
  static const uint32_t lengths[] = {0,       1,          7,          15,        16,     511,
                                     KIB(64), UINT32_MAX, 0x80000000, 16 * 1024, 16 * 3, STORM_LENGTH_MAX};
  return lengths[random_next() % (sizeof lengths / sizeof *lengths)];
}

static uint16_t wrong_index(const struct virtqueue *queue) {
  uint64_t random = random_next();
  switch (random & 3) {
    case 0: return queue->size;
    case 1: return UINT16_MAX;
    default: return (uint16_t)(random >> 16) % QUEUE_SIZE_MAX;
  }
}

/* Mostly short, for the device must see valid values, too. */
static void pause_a_little(void) {
  uint64_t random = random_next();
  for (uint64_t n = (random >> 8) & ((1u << (random & 7)) - 1); n; n--) cpu_pause();
}

#define FLIP(place, wrong)            \
  do {                                \
    __typeof__(place) right = place;  \
    place = (__typeof__(place))wrong; \
    pause_a_little();                 \
    place = right;                    \
  } while (0)

/*
 * struct virtq_desc and struct pvirtq_desc: the last two fields have changed
 * places. `linked`: our own driver walks the list of free descriptors.
 */
static void flip_descriptor(const struct victim *victim, volatile struct virtq_desc *desc,
                            bool linked) {
  uint64_t random = random_next();
  switch (linked ? random & 1 : random & 7) {
    case 0: FLIP(desc->address, wrong_address(victim)); break;
    case 1: FLIP(desc->length, wrong_length()); break;
    case 2: FLIP(desc->flags, wrong_index(victim->queue)); break;
    case 3: FLIP(desc->next, wrong_index(victim->queue)); break;
    case 4: FLIP(desc->flags, desc->flags ^ VIRTQ_DESC_WRITE); break;
    case 5: FLIP(desc->flags, desc->flags ^ VIRTQ_DESC_INDIRECT); break;
    case 6: FLIP(desc->next, desc->next ^ (PVIRTQ_DESC_AVAIL | PVIRTQ_DESC_USED)); break;
    default: FLIP(desc->flags, desc->flags ^ VIRTQ_DESC_NEXT); break;
  }
}

static void flip_rings(struct victim *victim, struct virtqueue *queue) {
  uint64_t random = random_next();
  bool linked = queue != victim->queue;
  unsigned i = (unsigned)(random >> 8) % (3 * STORM_GROUPS), group = i / 3;
  switch (random & 7) {
    case 0:
    case 1: flip_descriptor(victim, &queue->desc[i], linked); break;
    case 2:
    case 3: flip_descriptor(victim, &queue->indirect[group][i % 3], linked); break;
    case 4:
      flip_descriptor(victim, (volatile struct virtq_desc *)&queue->packed.ring[i], linked);
      break;
    case 5: FLIP(queue->avail.ring[i], wrong_index(queue)); break;
    case 6: FLIP(queue->avail.idx, (uint16_t)(queue->avail.idx + wrong_index(queue))); break;
    default:
      FLIP(queue->used.idx, wrong_index(queue));
      FLIP(queue->used.flags, wrong_index(queue));
      FLIP(queue->avail.flags, wrong_index(queue));
      FLIP(queue->avail.ring[queue->size % (QUEUE_SIZE_MAX + 1)], wrong_index(queue));
      FLIP(queue->packed.driver_event, (uint32_t)random_next());
      FLIP(queue->packed.device_event, (uint32_t)random_next());
  }
}

void storm_flip_rings(struct victim *victim) {
  for (unsigned i = 0; i < FLIPS; i++) {
    bool receive = victim->net && random_next() & 1;
    flip_rings(victim, receive ? &victim->net->receive : victim->queue);
  }
  storm_counts[1].flips += FLIPS;
}

static void flip_blk_header(struct victim *victim, unsigned group) {
  volatile struct blk_request *request = (struct blk_request *)storm_header(victim, group);
  static const uint32_t types[] = {BLK_IN, BLK_OUT, BLK_FLUSH, BLK_GET_ID, 11, 13, 0x5a5a, UINT32_MAX};
  const uint64_t sectors[] = {victim->blk->sectors - 1, victim->blk->sectors, 1ull << 40, 1ull << 55,
                              UINT64_MAX, 0};
  uint64_t random = random_next();
  if (random & 1) {
    FLIP(request->type, types[(random >> 8) % (sizeof types / sizeof *types)]);
  } else {
    FLIP(request->sector, sectors[(random >> 8) % (sizeof sectors / sizeof *sectors)]);
  }
}

static void flip_net_header(struct victim *victim, unsigned group) {
  volatile struct net_header *header = (struct net_header *)storm_header(victim, group);
  static const uint16_t numbers[] = {0, 1, 12, 0x7fff, 0x8000, UINT16_MAX};
  uint64_t random = random_next();
  uint16_t number = numbers[(random >> 8) % (sizeof numbers / sizeof *numbers)];
  switch (random & 7) {
    case 0: FLIP(header->flags, random >> 16); break;
    case 1: FLIP(header->gso_type, random >> 16); break;
    case 2: FLIP(header->header_length, number); break;
    case 3: FLIP(header->gso_size, number); break;
    case 4: FLIP(header->checksum_start, number); break;
    case 5: FLIP(header->checksum_offset, number); break;
    case 6: FLIP(header->buffer_count, number); break;
    default: /* all at once: a large frame that isn't one */
      header->gso_type = (uint8_t)(random >> 16);
      header->flags = 1;
      header->gso_size = header->checksum_start = number;
  }
}

void storm_flip_headers(struct victim *victim) {
  for (unsigned i = 0; i < FLIPS; i++) {
    unsigned group = (unsigned)random_next() % STORM_GROUPS;
    if (victim->blk) {
      flip_blk_header(victim, group);
    } else {
      flip_net_header(victim, group);
    }
  }
  storm_counts[1].flips += FLIPS;
}

/* Whole entries, and nothing is put back. */
void storm_scribble(struct victim *victim) {
  struct virtqueue *queue = victim->queue;
  for (unsigned n = 0; n < FLIPS; n++) {
    uint64_t random = random_next();
    unsigned i = (unsigned)(random >> 8) % QUEUE_SIZE_MAX;
    uint16_t flags = (uint16_t)(random >> 48);
    struct virtq_desc desc = {wrong_address(victim), wrong_length(), flags, (uint16_t)(random >> 32)};
    switch (random & 3) {
      case 0: queue->desc[i] = desc; break;
      case 1: queue->indirect[i % STORM_GROUPS][i % 3] = desc; break;
      case 2: *(struct virtq_desc *)&queue->packed.ring[i] = desc; break;
      default:
        queue->avail.ring[i] = flags;
        queue->avail.idx = (uint16_t)(random >> 32);
        queue->used.ring[i] = (struct virtq_used_element){(uint32_t)random, (uint32_t)(random >> 32)};
    }
    pause_a_little();
  }
  storm_counts[1].flips += FLIPS;
}
