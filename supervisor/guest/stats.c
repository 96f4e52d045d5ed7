/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/stats.h"

#include <endian.h>
#include <string.h>

#include "guest-init/protocol.h"

static uint64_t number(uint64_t wire)
{
	uint64_t value = le64toh(wire);

	return value < STATS_MAX ? value : STATS_MAX;
}

static uint64_t pressure(uint64_t wire)
{
	return wire == STATS_UNKNOWN ? STATS_MISSING : number(wire);
}

int stats_decode(const void *payload, size_t length, struct guest_stats *ret, struct error *err)
{
	struct frame_stats told;

	if (length != sizeof(told))
		return error_set(err, "guest sent stats of %zu bytes", length);
	memcpy(&told, payload, sizeof(told));
	*ret = (struct guest_stats){
		.uptime_ms = number(told.uptime_ms),
		.memory_total = number(told.memory_total),
		.memory_available = number(told.memory_available),
		.load = { number(told.load_1), number(told.load_5), number(told.load_15) },
		.tasks = number(told.tasks),
		.disk_total = number(told.disk_total),
		.disk_used = number(told.disk_used),
		.pressure_cpu = pressure(told.pressure_cpu),
		.pressure_memory = pressure(told.pressure_memory),
		.pressure_io = pressure(told.pressure_io),
	};
	return 0;
}
