/* The packed virtqueue, driver side (virtio 1.2 §2.8): what virtqueue.c calls when it was negotiated. */
#pragma once

#include "virtqueue.h"

void packed_reset(struct virtqueue *queue);
void packed_add(struct virtqueue *queue, const struct buffer *buffers, unsigned readable,
                unsigned count, bool indirect, uint16_t token);
/* True when the device wants the doorbell for what was added. */
bool packed_publish(struct virtqueue *queue);
bool packed_completed(const struct virtqueue *queue);
bool packed_take(struct virtqueue *queue, uint16_t *token, uint32_t *length);
void packed_suppress_interrupts(struct virtqueue *queue);
void packed_request_interrupt(struct virtqueue *queue);
