/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking over what an earlier daemon left running in a slot, or freeing all that it held: a record
 * that fits a living process is adopted; anything else is a run that never was complete.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "instance/internal.h"

static int adopt_vmm(struct instance *instance, const char *run_dir, const struct record *record,
		     struct error *err)
{
	const struct instance_context *context = instance->context;
	_cleanup_close_ int directory = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int console = -1;
	char id[16];
	struct vmm_config config = {
		.name = instance->spec->name,
		.tenant = instance->spec->tenant,
		.id = id,
		.run_dir_fd = directory,
		.run_dir = run_dir,
		.uid = instance_uid(context->settings, instance->slot),
		.disks = { { .serial = "base", .read_only = true }, { .serial = "upper" } },
		.disk_count = 2,
		.machine = MACHINE_HOST,
		.limits = instance_limits(instance->spec),
	};

	instance_tap_name(instance->slot, id);
	if (directory < 0)
		return error_errno(err, errno, "%s: cannot open", run_dir);
	console = openat(directory, "console.log", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (console < 0)
		return error_errno(err, errno, "%s/console.log: cannot open", run_dir);
	config.console_fd = console;
	instance->driver = vmm_find(record->driver);
	if (!instance->driver)
		return error_set(err, "driver '%s' is unknown to this version", record->driver);
	return instance->driver->adopt(context->loop, context->settings, &config, record->pid,
				       record->start_time, &instance_vmm_callbacks, instance,
				       &instance->vmm, err);
}

/* After a change of uid_base the slots' uids overlap with those of before: kept, it would share its
 * uid with another VM. */
static int end_if_of_another_uid(const struct instance *instance, struct error *err)
{
	uid_t uid = instance_uid(instance->context->settings, instance->slot);
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)instance->driver->pid(instance->vmm));
	if (stat(path, &st) == 0 && st.st_uid == uid)
		return 0;
	instance->driver->kill(instance->vmm);
	return error_set(err, "its VMM does not run under uid %u (was uid_base changed?)",
			 (unsigned)uid);
}

static int adopt_parts(struct instance *instance, const char *run_dir, const struct record *record,
		       struct error *err)
{
	struct net_tap tap;
	char name[16];

	instance_describe_tap(instance, name, &tap);
	if (instance_open_log(instance, err) < 0 || adopt_vmm(instance, run_dir, record, err) < 0)
		return -1;
	if (end_if_of_another_uid(instance, err) < 0)
		return -1;
	/* Its guard comes first in importance: a VM whose guard cannot be proved is not kept. */
	if (net_tap_adopt(instance->context->net, &tap, err) < 0)
		return -1;
	instance->has_tap = true;
	return 0;
}

static struct instance *from_record(const struct instance_context *context, uint32_t slot,
				    struct record *record)
{
	struct instance *instance = xcalloc(1, sizeof(*instance));

	instance->context = context;
	instance->slot = slot;
	instance->spec = take_ptr(record->spec);
	instance->image = take_ptr(record->image);
	instance->restarts = record->restarts;
	instance->backoff = record->backoff;
	instance->peer = record->peer;
	instance->reason = record->reason;
	instance->exit_code = record->exit_code;
	instance->exit_signal = record->exit_signal;
	memcpy(instance->message, record->message, sizeof(instance->message));
	memcpy(instance->vmm_why, record->vmm_why, sizeof(instance->vmm_why));
	return instance;
}

/* In PHASE_BOOTING until the guest's hello, which cannot come while it is paused. */
static int adopt_process(struct instance *instance, const char *run_dir,
			 const struct record *record, struct error *err)
{
	bool is_paused = record->phase == PHASE_PAUSED;

	instance->phase = is_paused ? PHASE_PAUSED : PHASE_BOOTING;
	instance->was_adopted = true;
	instance->started_ms = loop_now_ms();
	if (adopt_parts(instance, run_dir, record, err) < 0)
		return -1;
	/* Again, for one and for the other: the daemon before may have ended after it had written
	 * the record. */
	if (is_paused) {
		instance->driver->pause(instance->vmm);
	} else {
		instance->driver->resume(instance->vmm);
		instance_arm(instance, instance->context->settings->boot_timeout_ms);
	}
	return 0;
}

static int adopt_record(struct instance *instance, const char *run_dir, const struct record *record,
			struct error *err)
{
	if (record_has_process(record))
		return adopt_process(instance, run_dir, record, err);
	instance->phase = record->phase;
	return instance_open_log(instance, err);
}

/* Whatever the slot held: process, tap, run directory. */
static int free_slot(const struct instance_context *context, uint32_t slot, const char *run_dir,
		     struct error *err)
{
	char name[16];

	instance_tap_name(slot, name);
	if (record_kill_strays(instance_uid(context->settings, slot), err) < 0 ||
	    net_tap_destroy(context->net, name, slot, err) < 0)
		return -1;
	return fs_remove_tree(run_dir, err);
}

int instance_adopt(const struct instance_context *context, uint32_t slot, struct instance **ret,
		   struct error *err)
{
	_cleanup_free_ char *run_dir = instance_run_dir(context, slot);
	struct instance *instance = NULL;
	struct record record = { 0 };
	struct error cleaning;

	if (record_read(run_dir, &record, err) == 0) {
		instance = from_record(context, slot, &record);
		if (adopt_record(instance, run_dir, &record, err) == 0) {
			record_reset(&record);
			*ret = instance;
			return 0;
		}
		error_wrap(err, "%s", instance->spec->name);
	}
	record_reset(&record);
	instance_free(instance);
	if (free_slot(context, slot, run_dir, &cleaning) < 0)
		return error_wrap(err, "%s; and then", cleaning.text);
	return -1;
}
