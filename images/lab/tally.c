// SPDX-License-Identifier: GPL-2.0
//
// Drives examples/lab/tally.ts, a virtio device that answers with one record: a
// module to be fuzzed, over whole probes. It has a mistake on purpose: if a
// record is valid, it believes the number of its counter.

#include <linux/completion.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

#define TALLY_ID 0x7a11
#define TALLY_VALID 1	// in a record's flags

static const struct counter {
	const char *name;
	u32 weight;
} counters[] = { { "in", 1 }, { "out", 2 }, { "lost", 10 } };

struct record {
	__le32 flags, counter, value;
};

struct tally {
	struct completion answered;
	struct virtqueue *queue;
	struct record record;	// the device writes it
	u64 sum;
};

static const struct counter *counter_of(u32 index)
{
	return index < ARRAY_SIZE(counters) ? &counters[index] : NULL;
}

static noinline void count(struct tally *tally)
{
	const struct record *record = &tally->record;
	const struct counter *counter;

	if (!(le32_to_cpu(record->flags) & TALLY_VALID))
		return;
	counter = counter_of(le32_to_cpu(record->counter));
	tally->sum += (u64)counter->weight * le32_to_cpu(record->value);
}

static void tally_answered(struct virtqueue *queue)
{
	struct tally *tally = queue->vdev->priv;

	complete(&tally->answered);
}

static int ask(struct tally *tally)
{
	struct scatterlist list;
	unsigned int size;
	int error;

	sg_init_one(&list, &tally->record, sizeof(tally->record));
	error = virtqueue_add_inbuf(tally->queue, &list, 1, tally, GFP_KERNEL);
	if (error)
		return error;
	virtqueue_kick(tally->queue);
	if (!wait_for_completion_timeout(&tally->answered, HZ))
		return -ETIMEDOUT;
	if (virtqueue_get_buf(tally->queue, &size) != tally ||
	    size != sizeof(tally->record))
		return -EIO;
	return 0;
}

static int tally_probe(struct virtio_device *vdev)
{
	struct tally *tally = kzalloc(sizeof(*tally), GFP_KERNEL);
	int error;

	if (!tally)
		return -ENOMEM;
	init_completion(&tally->answered);
	vdev->priv = tally;
	tally->queue = virtio_find_single_vq(vdev, tally_answered, "records");
	if (IS_ERR(tally->queue)) {
		error = PTR_ERR(tally->queue);
		goto no_queue;
	}
	virtio_device_ready(vdev);
	error = ask(tally);
	if (error)
		goto no_answer;
	count(tally);
	return 0;

no_answer:
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
no_queue:
	kfree(tally);
	return error;
}

static void tally_remove(struct virtio_device *vdev)
{
	virtio_reset_device(vdev);
	vdev->config->del_vqs(vdev);
	kfree(vdev->priv);
}

static const struct virtio_device_id tally_ids[] = {
	{ TALLY_ID, VIRTIO_DEV_ANY_ID },
	{}
};
MODULE_DEVICE_TABLE(virtio, tally_ids);

static struct virtio_driver tally_driver = {
	.driver.name = "tally",
	.driver.owner = THIS_MODULE,
	.id_table = tally_ids,
	.probe = tally_probe,
	.remove = tally_remove,
};
module_virtio_driver(tally_driver);

MODULE_DESCRIPTION("The tally of Vireo's lab");
MODULE_LICENSE("GPL");
