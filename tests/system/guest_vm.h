/* SPDX-License-Identifier: Apache-2.0 */
/* The VMs of guest_driver.c, by the command line of the QEMU driver: booting them, hearing what
 * they say, saying in TAP what became of them. */
#ifndef STOKER_TESTS_GUEST_VM_H
#define STOKER_TESTS_GUEST_VM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "guest-init/protocol.h"
#include "guest/channel.h"
#include "guest/initramfs.h"
#include "loop/child.h"
#include "tests/system/driver.h"
#include "vmm/kernel.h"

enum { BOOT_S = 60, STEP_S = 30 }; /* how long a boot may take, and what comes after it */

struct host {
	struct loop *loop;
	const char *dir;
	enum machine machine;
	struct kernel kernel;
	char *base; /* the cached initramfs segment */
};

/* One VM and all that it said. */
struct guest {
	struct host *host;
	const char *name;
	struct spec *spec;
	struct strbuf image;	      /* record */
	const char *kernel_arguments; /* more of them; NULL: none */
	const struct guest_file *files;
	size_t file_count;
	const char *base; /* its image; NULL: "base" */
	bool is_alone;	  /* without eth0: the tap is another's */
	struct child *vmm;
	struct channel_peer peer;
	struct channel *channel;
	struct strbuf logs[CHANNEL_INIT + 1];
	struct channel_hello hello;
	int hellos;
	struct channel_exit exit;
	bool has_exit, gone, lost;
};

/* Whether the stream has the text; else shows what it has. */
void said(struct guest *guest, enum channel_stream stream, const char *text);

/* --- before a guest boots --- */

void guest_init(struct guest *guest, struct host *host, const char *name);
void set(char **text, const char *value);
void add_address(struct guest *guest, const char *text);
/* An entry of the image's record. */
void image_says(struct guest *guest, enum config_tag tag, const char *text);

/* --- its life --- */

/* `upper`: the writable disk, UPPER.ext4 of the host's directory. */
void boot(struct guest *guest, const char *upper);
/* boot() did so; again, as a daemon that was restarted does. */
void connect_channel(struct guest *guest);
/* Runs the loop until the condition holds or the VM is gone; whether it held. */
bool wait_until(struct guest *guest, bool (*holds)(const struct guest *, const void *),
		const void *argument, unsigned seconds);
bool has_greeted(const struct guest *guest, const void *hellos);
bool has_ended(const struct guest *guest, const void *nothing);
bool has_printed(const struct guest *guest, const void *text);
/* The number behind the first or the last "tick " of the output; 0: none. */
long find_tick(const struct guest *guest, bool last);
/* Waits for the VM's end and compares the report. */
void ended(struct guest *guest, int kind, int code);
void guest_free(struct guest *guest);

bool runs(const char *command);

#endif
