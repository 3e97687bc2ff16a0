// SPDX-License-Identifier: GPL-2.0
//
// Drives examples/lab/gauge.ts: a module to be built, loaded, looked into by a
// debugger, and fuzzed. It has two mistakes on purpose: it believes that a device
// has no other units than it knows, and no other curves, or any number of steps.
// The second shows only when four words say so, each in its own way. With
// careful=1 it has not the first, with careful=2 it has none.

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
#define GAUGE_CALIBRATION 0x18	// the words of struct calibration

#define GAUGE_MAGIC 0x47415547
#define GAUGE_HAS_UNIT 1	// in GAUGE_FLAGS
#define MAX_CHANNELS 8

#define CALIBRATION_SINCE 2	// the version that has it
#define CALIBRATION_VALID 0x80	// in its flags
#define MIN_STEPS 256
#define MAX_STEPS 4096

static int careful;
module_param(careful, int, 0444);
MODULE_PARM_DESC(careful, "1: believe no unit; 2: and no curve");

struct unit {
	const char *name;
	int scale;
};

static const struct unit units[] = {
	{ "C", 1 },
	{ "Pa", 100 },
	{ "%", 1 },
};

struct calibration {
	u32 version, flags, steps, curve;
};

struct curve {
	u32 slope, offset;
};

static const struct curve curves[] = { { 1, 0 }, { 2, 40 } };

struct channel {
	int value;
	const char *unit;
};

struct gauge {
	void __iomem *registers;
	u32 count;
	u32 slope;
	struct channel channels[MAX_CHANNELS];
};

static const struct unit *unit_of(u32 index)
{
	return index < ARRAY_SIZE(units) ? &units[index] : NULL;
}

static const struct curve *curve_of(u32 index)
{
	return index < ARRAY_SIZE(curves) ? &curves[index] : NULL;
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

/*
 * All words are read before one is looked at: how far it comes is seen by its
 * code alone, not by what it asks the device for.
 */
static noinline int calibrate(struct gauge *gauge)
{
	u32 words[sizeof(struct calibration) / sizeof(u32)];
	const struct calibration *told = (void *)words;
	const struct curve *curve;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = readl(gauge->registers + GAUGE_CALIBRATION + 4 * i);
	if (told->version < CALIBRATION_SINCE)
		return 0;
	if (!(told->flags & CALIBRATION_VALID))
		return 0;
	if (told->steps < MIN_STEPS)
		return -EINVAL;
	curve = curve_of(told->curve);
	if (careful > 1 && (!curve || told->steps > MAX_STEPS))
		return -EINVAL;
	for (i = 0; i < told->steps; i++)
		gauge->slope = gauge->slope * 31 + curve->slope;
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
	error = calibrate(gauge);
	if (error)
		return error;
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
