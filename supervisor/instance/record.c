/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RUN_DIR/vm/SLOT/record.json: all that a later daemon needs to take over what runs in the slot, or
 * to know that it rests after its end. It does not survive a reboot of the host.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "instance/internal.h"

enum { RECORD_MAX = 4 << 20, STRAY_ROUNDS = 500, STRAY_WAIT_MS = 10 };

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static json_t *image_to_json(const struct image *image)
{
	json_t *object = json_object();

	set(object, "id", json_string(image->id));
	set(object, "digest", json_string(image->digest));
	set(object, "squashfs", json_string(image->squashfs_path));
	set(object, "record", json_string(image->record_path));
	return object;
}

static enum phase recorded_phase(const struct instance *instance)
{
	if (instance->vmm && instance->phase != PHASE_PAUSED)
		return PHASE_RUNNING;
	return instance->phase;
}

static void add_process(json_t *object, const struct instance *instance)
{
	set(object, "driver", json_string(instance->driver->name));
	set(object, "vmm_why", json_string(instance->vmm_why));
	set(object, "pid", json_integer(instance->driver->pid(instance->vmm)));
	set(object, "start_time",
	    json_integer((json_int_t)instance->driver->start_time(instance->vmm)));
}

static void add_peer(json_t *object, const struct instance *instance)
{
	uint64_t seen = instance->channel ? channel_log_seen(instance->channel)
					  : instance->peer.log_seen;
	_cleanup_strbuf_ struct strbuf key = { 0 };

	for (size_t i = 0; i < sizeof(instance->peer.key); i++)
		strbuf_printf(&key, "%02x", instance->peer.key[i]);
	set(object, "channel", json_integer(channel_protocol()));
	set(object, "channel_key", json_string(strbuf_text(&key)));
	set(object, "log_seen", json_integer((json_int_t)seen));
}

int record_write(const struct instance *instance, struct error *err)
{
	_cleanup_free_ char *run_dir = instance_run_dir(instance->context, instance->slot);
	_cleanup_free_ char *path = xasprintf("%s/record.json", run_dir);
	_cleanup_json_ json_t *object = json_object();
	_cleanup_free_ char *text = NULL;

	set(object, "spec", spec_to_json(instance->spec));
	set(object, "image", image_to_json(instance->image));
	set(object, "phase", json_string(phase_name(recorded_phase(instance))));
	set(object, "reason", json_integer(instance->reason));
	set(object, "exit_code", json_integer(instance->exit_code));
	set(object, "exit_signal", json_integer(instance->exit_signal));
	set(object, "message", json_string(instance->message));
	if (instance->vmm) {
		add_process(object, instance);
		add_peer(object, instance);
	}
	set(object, "restarts", json_integer(instance->restarts));
	set(object, "failures", json_integer(instance->backoff.failures));
	set(object, "delay_ms", json_integer((json_int_t)instance->backoff.delay_ms));
	text = json_line(object);
	return fs_write_atomic(path, text, strlen(text), 0600, err);
}

void record_rewrite(const struct instance *instance)
{
	struct error err;

	if (record_write(instance, &err) < 0)
		log_warning("%s: %s", instance->spec->name, err.text);
}

static int read_image(const json_t *object, struct image **ret, struct error *err)
{
	const char *id, *digest, *squashfs, *image_record;
	struct image image;

	if (json_get_string(object, "id", &id, err) < 0 ||
	    json_get_string(object, "digest", &digest, err) < 0 ||
	    json_get_string(object, "squashfs", &squashfs, err) < 0 ||
	    json_get_string(object, "record", &image_record, err) < 0)
		return error_wrap(err, "image");
	image = (struct image){ (char *)id, (char *)digest, (char *)squashfs,
				(char *)image_record };
	*ret = image_copy(&image);
	return 0;
}

static int read_process(const json_t *object, struct record *ret, struct error *err)
{
	const char *driver;
	uint64_t pid;

	if (json_get_u64(object, "pid", &pid, err) < 0 ||
	    json_get_u64(object, "start_time", &ret->start_time, err) < 0 ||
	    json_get_string(object, "driver", &driver, err) < 0)
		return -1;
	if (pid < 2 || pid > INT32_MAX)
		return error_set(err, "'pid' is not the number of a process");
	ret->pid = (pid_t)pid;
	snprintf(ret->driver, sizeof(ret->driver), "%s", driver);
	snprintf(ret->vmm_why, sizeof(ret->vmm_why), "%s", json_string_or(object, "vmm_why", ""));
	return 0;
}

static int read_peer(const json_t *object, struct channel_peer *ret, struct error *err)
{
	/* Records told no version before there was a third. */
	uint64_t protocol = json_u64_or(object, "channel", 2);
	const char *key;

	if (protocol != channel_protocol())
		return error_set(err,
				 "its guest speaks channel protocol %u, not %u: it was started by "
				 "another version of stokerd",
				 (unsigned)protocol, channel_protocol());
	if (json_get_string(object, "channel_key", &key, err) < 0)
		return -1;
	if (strlen(key) != 2 * sizeof(ret->key))
		return error_set(err, "'channel_key' is none");
	for (size_t i = 0; i < sizeof(ret->key); i++)
		if (sscanf(key + 2 * i, "%2hhx", &ret->key[i]) != 1)
			return error_set(err, "'channel_key' is none");
	ret->log_seen = json_u64_or(object, "log_seen", 0);
	return 0;
}

bool record_has_process(const struct record *record)
{
	return record->phase == PHASE_RUNNING || record->phase == PHASE_PAUSED;
}

static int read_phase(const json_t *object, enum phase *ret, struct error *err)
{
	static const enum phase recorded[] = { PHASE_RUNNING, PHASE_PAUSED, PHASE_STOPPED,
					       PHASE_FAILED };
	const char *name;

	if (json_get_string(object, "phase", &name, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(recorded) / sizeof(*recorded); i++)
		if (strcmp(phase_name(recorded[i]), name) == 0) {
			*ret = recorded[i];
			return 0;
		}
	return error_set(err, "'phase' is '%s', which no record has", name);
}

static void read_ending(const json_t *object, struct record *ret)
{
	uint64_t reason = json_u64_or(object, "reason", REASON_NONE);

	ret->reason = reason < REASON_COUNT ? (enum reason)reason : REASON_NONE;
	ret->exit_code = (int)json_u64_or(object, "exit_code", 0);
	ret->exit_signal = (int)json_u64_or(object, "exit_signal", 0);
	snprintf(ret->message, sizeof(ret->message), "%.255s",
		 json_string_or(object, "message", ""));
	ret->restarts = (uint32_t)json_u64_or(object, "restarts", 0);
	ret->backoff.failures = (uint32_t)json_u64_or(object, "failures", 0);
	ret->backoff.delay_ms = json_u64_or(object, "delay_ms", 0);
}

static int read_members(const json_t *object, struct record *ret, struct error *err)
{
	if (read_phase(object, &ret->phase, err) < 0 ||
	    (record_has_process(ret) &&
	     (read_process(object, ret, err) < 0 || read_peer(object, &ret->peer, err) < 0)) ||
	    spec_from_json(json_object_get(object, "spec"), &ret->spec, err) < 0 ||
	    read_image(json_object_get(object, "image"), &ret->image, err) < 0)
		return -1;
	read_ending(object, ret);
	return 0;
}

int record_read(const char *run_dir, struct record *ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/record.json", run_dir);
	_cleanup_strbuf_ struct strbuf text = { 0 };
	_cleanup_json_ json_t *object = NULL;
	struct record record = { 0 };

	if (fs_read(path, RECORD_MAX, &text, err) < 0 ||
	    json_parse(strbuf_text(&text), text.length, path, &object, err) < 0)
		return -1;
	if (read_members(object, &record, err) < 0) {
		record_reset(&record);
		return error_wrap(err, "%s", path);
	}
	*ret = record;
	return 0;
}

void record_reset(struct record *record)
{
	spec_free(record->spec);
	image_free(record->image);
	*record = (struct record){ 0 };
}

/* --- strays ---------------------------------------------------------------------------------- */

/* A zombie keeps its uid until its parent reaps it, holds nothing, and cannot be killed again. */
static bool is_zombie(pid_t pid)
{
	_cleanup_strbuf_ struct strbuf stat = { 0 };
	char path[64];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fs_read(path, 4096, &stat, NULL) < 0)
		return true; /* gone meanwhile */
	at = strrchr(strbuf_text(&stat), ')');
	return at && at[1] == ' ' && (at[2] == 'Z' || at[2] == 'X');
}

/* Kills what runs under the uid now; how many there were, or -1. */
static int kill_once(uid_t uid, struct error *err)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	if (!proc)
		return error_errno(err, errno, "/proc: cannot list");
	while ((entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		struct stat st;

		if (pid < 2 || fstatat(dirfd(proc), entry->d_name, &st, 0) < 0 ||
		    st.st_uid != uid || is_zombie(pid))
			continue;
		if (kill(pid, SIGKILL) == 0)
			found++;
	}
	closedir(proc);
	return found;
}

int record_kill_strays(uid_t uid, struct error *err)
{
	static const struct timespec pause = { .tv_nsec = STRAY_WAIT_MS * 1000000L };

	for (int round = 0; round < STRAY_ROUNDS; round++) {
		int found = kill_once(uid, err);

		if (found <= 0)
			return found;
		nanosleep(&pause, NULL);
	}
	return error_set(err, "processes of uid %u do not end", (unsigned)uid);
}
