/* SPDX-License-Identifier: Apache-2.0 */
/* The body of an instance, shared by the files of this folder that make up one: instance, actions,
 * prepare, record. */
#ifndef STOKER_INSTANCE_INTERNAL_H
#define STOKER_INSTANCE_INTERNAL_H

#include "guest/channel.h"
#include "guest/initramfs.h"
#include "instance/backoff.h"
#include "instance/instance.h"
#include "instance/logfile.h"
#include "instance/transition.h"
#include "model/file.h"
#include "vmm/vmm.h"

struct instance {
	const struct instance_context *context; /* borrowed */
	uint32_t slot;
	struct spec *spec; /* owned: what runs, or what the next start takes */
	struct spec *next; /* owned: what to become after the stop under way; NULL: the same */

	enum phase phase;
	enum reason reason; /* why the last run ended, or did not begin */
	int exit_code, exit_signal;
	char message[256];
	bool tells_of_channel; /* the message: why it was lost, while it is */
	bool leaving;	       /* removed: forgotten once it has stopped */
	enum reason doom;      /* why we killed the VMM ourselves; REASON_NONE: we did not */

	struct watch *timer;		     /* owned; the phase's one timer */
	struct image_request *image_request; /* while fetching */
	struct image *image;		     /* owned; of `spec` */
	const struct vmm_driver *driver;     /* of `vmm` */
	char vmm_why[VMM_WHY_MAX];	     /* why that one */
	struct vmm *vmm;		     /* owned */
	struct channel_peer peer;	     /* of all its connections */
	struct channel *channel;	     /* owned */
	struct caller *callers;		     /* owned list; caller.c */
	bool has_warned;		     /* of a caller without the key */
	struct logfile *log;		     /* owned */
	bool has_tap;
	bool was_adopted; /* its start is not ours: boot_ms means nothing */
	bool has_hello;	  /* the guest knows this daemon */

	enum instance_wait wait; /* in PHASE_PREPARING: for others */
	bool has_health;	 /* the guest has told it, of the check as it is now */
	struct channel_health health;
	struct guest_stats stats; /* heard last */

	bool has_gone; /* the VMM ended; its channel may still hold last words */
	struct vmm_exit gone;

	bool has_report; /* the guest said how the workload ended */
	struct channel_exit report;

	struct backoff backoff;
	uint32_t restarts;
	uint64_t started_ms; /* loop_now_ms of the VMM's start */
	uint64_t running_ms; /* loop_now_ms of the hello; 0 = not running */
	uint64_t boot_ms;
	struct boot_times boot;
	uint64_t wake_ms; /* loop_now_ms at which the timer fires, in PHASE_BACKOFF */
};

/* The only way a phase changes. */
void instance_event(struct instance *instance, enum event event);

/* Sets the message shown with the reason; numbers of an earlier end are cleared. */
void instance_blame(struct instance *instance, enum reason reason, const char *text);

/* Lets go of the image, which may be pruned from now on unless somebody else uses it. */
void instance_drop_image(struct instance *instance);

void instance_arm(struct instance *instance, uint64_t after_ms);
void instance_disarm(struct instance *instance);

extern const struct vmm_callbacks instance_vmm_callbacks;

/* "stk7": from the slot. */
void instance_tap_name(uint32_t slot, char name[16]);

/* RUN_DIR/vm/SLOT; the caller frees it. */
char *instance_run_dir(const struct instance_context *context, uint32_t slot);

uid_t instance_uid(const struct settings *settings, uint32_t slot);

/* What the spec lets the VM take of its host, for its driver. */
struct vmm_limits instance_limits(const struct spec *spec);

/* --- caller.c: connections that are not the guest's yet --- */

/* Another connection, while the first has not said hello. */
void instance_add_caller(struct instance *instance, int fd);

/* The first of them becomes the channel; false when there is none. */
bool instance_take_caller(struct instance *instance);
void instance_drop_callers(struct instance *instance);

extern const struct channel_callbacks instance_channel_callbacks;

/* --- prepare.c: from an image to a running VMM --- */

int instance_prepare(struct instance *instance, struct error *err);

/* Opens the log once; later calls do nothing. */
int instance_open_log(struct instance *instance, struct error *err);

/* Fills `ret` for the instance's tap. */
void instance_describe_tap(const struct instance *instance, char name[16], struct net_tap *ret);

/* For the driver's callbacks of these names. */
int instance_lend_tap(void *instance, int netns_fd, struct error *err);
int instance_take_tap(void *instance, int netns_fd, struct error *err);

/* Notes that it rests, for the next daemon. */
int instance_keep_rest(const struct instance *instance, struct error *err);

/* Copies the newest of the serial console into the VM's log. */
void instance_keep_console(struct instance *instance);

/* Frees what a run holds: channel, VMM handle, tap, run directory. The VMM must be gone. */
void instance_clear_run(struct instance *instance);

/* observe.c. HEALTH_NONE as well while the guest has not told it: a daemon that comes back must not
 * make believe that it starts. */
enum health instance_health(const struct instance *instance);

/* --- attach.c: files and secrets --- */

struct attachments {
	struct guest_file *items; /* owned, with `files` and `contents` behind them */
	struct spec_file *files;
	struct strbuf *contents;
	size_t count;
};

/* Reads what the spec's files and secrets are made of; a source may have changed since the fleet
 * was loaded. */
int attachments_read(const struct spec *spec, struct attachments *ret, struct error *err);
void attachments_reset(struct attachments *attachments); /* secrets are wiped */

/* --- record.c: what adoption reads --- */

/* Of a running VM, or of one that rests after its end: a restart of the daemon must not run a
 * finished job a second time. */
int record_write(const struct instance *instance, struct error *err);

/* The same after a live change; a failure is logged, for the record that is there still fits. */
void record_rewrite(const struct instance *instance);

struct record {
	struct spec *spec;   /* owned */
	struct image *image; /* owned */
	/* PHASE_RUNNING, _PAUSED, _STOPPED or _FAILED; the last two without what follows: */
	enum phase phase;
	pid_t pid;
	uint64_t start_time;
	char driver[16];
	char vmm_why[VMM_WHY_MAX];
	struct channel_peer peer;
	enum reason reason; /* of the last end */
	int exit_code, exit_signal;
	char message[256];
	uint32_t restarts;
	struct backoff backoff;
};

int record_read(const char *run_dir, struct record *ret, struct error *err);
void record_reset(struct record *record);

/* A VM, running or paused, and not the memory of one. */
bool record_has_process(const struct record *record);

/* Kills every process of the slot's uid and waits until they are gone. */
int record_kill_strays(uid_t uid, struct error *err);

#endif
