/* The devices we found, with their drivers' state. */
#pragma once

#include "blk.h"
#include "net.h"

extern struct blk *disks[VIRTIO_DEVICES_MAX];
extern struct net *networks[VIRTIO_DEVICES_MAX];
extern unsigned disk_count, network_count;

/* Discover, list them on the console, and make a driver for each known type. */
void devices_init(void);

/* blk_start, net_start with the failure reported. */
bool disk_start(struct blk *blk, enum wait_mode wait);
bool network_start(struct net *net, enum wait_mode wait);

/* Report interrupts that this queue has lost, as a failure. */
void check_interrupts(struct virtqueue *queue, const char *name, unsigned number);

/* `wait=irq`: interrupts; else polling. */
enum wait_mode chosen_wait(void);
const char *wait_name(enum wait_mode wait);
