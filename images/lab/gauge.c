// SPDX-License-Identifier: GPL-2.0
//
// Drives examples/lab/gauge.ts: a module to be built, loaded, looked into by a
// debugger, and fuzzed. It has a mistake on purpose: it believes that a device
// has no other units than it knows. With careful=1 it has not.

#include <linux/acpi.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/platform_device.h>

// Registers of 32 bits.
#define GAUGE_ID 0x00
#define GAUGE_COUNT 0x04	// of its channels
#define GAUGE_CHANNEL 0x08	// which the others are of
#define GAUGE_VALUE 0x0c
#define GAUGE_FLAGS 0x10
#define GAUGE_UNIT 0x14

#define GAUGE_MAGIC 0x47415547
#define GAUGE_HAS_UNIT 1	// in GAUGE_FLAGS
#define MAX_CHANNELS 8

static bool careful;
module_param(careful, bool, 0444);
MODULE_PARM_DESC(careful, "believe no unit");

struct unit {
	const char *name;
	int scale;
};

static const struct unit units[] = {
	{ "C", 1 },
	{ "Pa", 100 },
	{ "%", 1 },
};

struct channel {
	int value;
	const char *unit;
};

struct gauge {
	void __iomem *registers;
	u32 count;
	struct channel channels[MAX_CHANNELS];
};

static const struct unit *unit_of(u32 index)
{
	return index < ARRAY_SIZE(units) ? &units[index] : NULL;
}

static noinline int read_channel(struct gauge *gauge, u32 index)
{
	struct channel *channel = &gauge->channels[index];
	const struct unit *unit;

	writel(index, gauge->registers + GAUGE_CHANNEL);
	channel->value = readl(gauge->registers + GAUGE_VALUE);
	channel->unit = "";
	if (!(readl(gauge->registers + GAUGE_FLAGS) & GAUGE_HAS_UNIT))
		return 0;
	unit = unit_of(readl(gauge->registers + GAUGE_UNIT));
	if (careful && !unit)
		return -EINVAL;
	channel->value *= unit->scale;
	channel->unit = unit->name;
	return 0;
}

static ssize_t values_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct gauge *gauge = dev_get_drvdata(dev);
	int size = 0, error;
	u32 i;

	for (i = 0; i < gauge->count; i++) {
		error = read_channel(gauge, i);
		if (error)
			return error;
		size += sysfs_emit_at(buf, size, "%d%s\n",
				      gauge->channels[i].value,
				      gauge->channels[i].unit);
	}
	return size;
}
static DEVICE_ATTR_RO(values);

static struct attribute *gauge_attrs[] = {
	&dev_attr_values.attr,
	NULL,
};
ATTRIBUTE_GROUPS(gauge);

static int gauge_probe(struct platform_device *pdev)
{
	struct gauge *gauge;
	int error;
	u32 i;

	gauge = devm_kzalloc(&pdev->dev, sizeof(*gauge), GFP_KERNEL);
	if (!gauge)
		return -ENOMEM;
	gauge->registers = devm_platform_ioremap_resource(pdev, 0);
	if (IS_ERR(gauge->registers))
		return PTR_ERR(gauge->registers);
	if (readl(gauge->registers + GAUGE_ID) != GAUGE_MAGIC)
		return -ENODEV;
	gauge->count = readl(gauge->registers + GAUGE_COUNT);
	if (gauge->count > MAX_CHANNELS)
		return -EINVAL;
	for (i = 0; i < gauge->count; i++) {
		error = read_channel(gauge, i);
		if (error)
			return error;
	}
	platform_set_drvdata(pdev, gauge);
	dev_info(&pdev->dev, "%u channels\n", gauge->count);
	return 0;
}

static const struct acpi_device_id gauge_ids[] = {
	{ "VREO0001" },
	{}
};
MODULE_DEVICE_TABLE(acpi, gauge_ids);

static struct platform_driver gauge_driver = {
	.driver = {
		.name = "gauge",
		.acpi_match_table = gauge_ids,
		.dev_groups = gauge_groups,
	},
	.probe = gauge_probe,
};
module_platform_driver(gauge_driver);

MODULE_DESCRIPTION("The gauge of Vireo's lab");
MODULE_LICENSE("GPL");
