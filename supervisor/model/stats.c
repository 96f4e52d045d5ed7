/* SPDX-License-Identifier: Apache-2.0 */
#include "model/stats.h"

static void set(json_t *object, const char *key, uint64_t value)
{
	if (value != STATS_MISSING)
		json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_hundredths(json_t *object, const char *key, uint64_t value)
{
	if (value != STATS_MISSING)
		json_object_set_new(object, key, json_real((double)value / 100));
}

json_t *guest_stats_to_json(const struct guest_stats *stats)
{
	json_t *object = json_object();

	set(object, "uptime_ms", stats->uptime_ms);
	set(object, "memory_total_bytes", stats->memory_total);
	set(object, "memory_available_bytes", stats->memory_available);
	set_hundredths(object, "load_1", stats->load[0]);
	set_hundredths(object, "load_5", stats->load[1]);
	set_hundredths(object, "load_15", stats->load[2]);
	set(object, "tasks", stats->tasks);
	set(object, "disk_total_bytes", stats->disk_total);
	set(object, "disk_used_bytes", stats->disk_used);
	set_hundredths(object, "pressure_cpu_percent", stats->pressure_cpu);
	set_hundredths(object, "pressure_memory_percent", stats->pressure_memory);
	set_hundredths(object, "pressure_io_percent", stats->pressure_io);
	return object;
}
