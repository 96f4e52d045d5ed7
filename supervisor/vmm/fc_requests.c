/* SPDX-License-Identifier: Apache-2.0 */
/* Called by firecracker.c; what comes out is sent by fc_api.c. */
#include "vmm/fc_requests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"

enum {
	GUEST_CID = 3,		 /* each VM has a host of its own on the other side */
	GUEST_MTU = 1500,	 /* what the tap has */
	REFILL_MS = 1000,	 /* of a limiter's buckets, which hold a second's worth */
	CONSOLE_RATE = 64 << 10, /* bytes a second; the log keeps less */
};

/* Takes the body. */
static void add(struct api_requests *requests, const char *method, char *path_taken,
		json_t *body_taken)
{
	requests->items = xreallocarray(requests->items, requests->count + 1,
					sizeof(*requests->items));
	requests->items[requests->count++] = (struct api_request){
		.method = method,
		.path = path_taken,
		.body = json_line(body_taken),
	};
	json_decref(body_taken);
}

static void put(struct api_requests *requests, const char *path, json_t *body_taken)
{
	add(requests, "PUT", xstrdup(path), body_taken);
}

static json_t *make(json_t *packed)
{
	if (!packed)
		abort(); /* json_pack fails on bad formats and without memory only */
	return packed;
}

/* A size of 0 takes a limit away; in a first configuration it means none. */
static json_t *bucket(uint64_t per_second)
{
	return make(json_pack("{s:I, s:i}", "size", (json_int_t)per_second, "refill_time",
			      per_second ? REFILL_MS : 0));
}

static json_t *limiter(const struct vmm_limits *limits)
{
	return make(json_pack("{s:o, s:o}", "bandwidth", bucket(limits->disk_bandwidth), "ops",
			      bucket(limits->disk_iops)));
}

/* --- booting --------------------------------------------------------------------------------- */

static void add_outputs(const struct fc_release *release, struct api_requests *requests)
{
	json_t *serial;

	put(requests, "/logger",
	    make(json_pack("{s:s, s:s, s:b}", "log_path", FC_CONSOLE, "level", "Warning",
			   "show_level", 1)));
	put(requests, "/metrics", make(json_pack("{s:s}", "metrics_path", FC_METRICS)));
	if (!fc_release_at_least(release, FC_HAS_SERIAL))
		return; /* the console goes to standard output: the same FIFO */
	serial = make(json_pack("{s:s}", "serial_out_path", FC_CONSOLE));
	if (fc_release_at_least(release, FC_HAS_SERIAL_LIMITER))
		json_object_set_new(serial, "rate_limiter", bucket(CONSOLE_RATE));
	put(requests, "/serial", serial);
}

/* Here reboot=k is what ends the process: Firecracker takes a reset by the keyboard controller for
 * the end, and knows no power-off. The rest is boot time and output, as in qemu_args.c. */
static const char *boot_arguments(void)
{
#ifdef __x86_64__
	return "console=ttyS0 quiet panic=-1 reboot=k cryptomgr.notests 8250.nr_uarts=1 "
	       "i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce";
#else
	return "console=ttyS0 quiet panic=-1 cryptomgr.notests 8250.nr_uarts=1";
#endif
}

static void add_machine(const struct vmm_config *config, struct api_requests *requests)
{
	put(requests, "/machine-config",
	    make(json_pack("{s:I, s:I, s:b}", "vcpu_count", (json_int_t)config->cpus,
			   "mem_size_mib", (json_int_t)(config->memory_bytes >> 20), "smt", 0)));
	put(requests, "/boot-source",
	    make(json_pack("{s:s, s:s, s:s}", "kernel_image_path", FC_KERNEL, "initrd_path",
			   FC_INITRD, "boot_args", boot_arguments())));
}

/* With an initramfs, no drive may be a root device. */
static void add_disk(const struct vmm_config *config, const struct vmm_disk *disk,
		     struct api_requests *requests)
{
	const struct vmm_limits *limits = &config->limits;
	bool is_limited = !disk->read_only && (limits->disk_bandwidth || limits->disk_iops);
	bool may_ignore_flushes = disk->read_only || disk->is_ephemeral;
	json_t *body = make(json_pack("{s:s, s:s, s:b, s:b, s:s}", "drive_id", disk->serial,
				      "path_on_host", disk->serial, "is_root_device", 0,
				      "is_read_only", (int)disk->read_only, "cache_type",
				      may_ignore_flushes ? "Unsafe" : "Writeback"));

	if (is_limited)
		json_object_set_new(body, "rate_limiter", limiter(limits));
	add(requests, "PUT", xasprintf("/drives/%s", disk->serial), body);
}

static void add_network(const struct vmm_config *config, const struct fc_release *release,
			struct api_requests *requests)
{
	const uint8_t *mac = config->mac;
	char text[18];
	json_t *body;

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	body = make(json_pack("{s:s, s:s, s:s}", "iface_id", "net0", "host_dev_name",
			      config->tap_name, "guest_mac", text));
	if (fc_release_at_least(release, FC_HAS_MTU))
		json_object_set_new(body, "mtu", json_integer(GUEST_MTU));
	put(requests, "/network-interfaces/net0", body);
	requests->items[requests->count - 1].opens_tap = true;
}

static json_t *balloon(const struct vmm_limits *limits)
{
	return make(json_pack("{s:I}", "amount_mib", (json_int_t)(limits->balloon_bytes >> 20)));
}

static void add_devices(const struct vmm_config *config, struct api_requests *requests)
{
	json_t *memory = balloon(&config->limits);

	/* Always there, also empty: it can be filled later, but not added. */
	json_object_set_new(memory, "deflate_on_oom", json_true());
	put(requests, "/balloon", memory);
	put(requests, "/vsock",
	    make(json_pack("{s:i, s:s}", "guest_cid", GUEST_CID, "uds_path", FC_VSOCK)));
	put(requests, "/entropy", json_object());
}

void fc_requests_boot(const struct vmm_config *config, const struct fc_release *release,
		      struct api_requests *ret)
{
	*ret = (struct api_requests){ 0 };
	add_outputs(release, ret);
	add_machine(config, ret);
	for (size_t i = 0; i < config->disk_count; i++)
		add_disk(config, &config->disks[i], ret);
	if (config->tap_name)
		add_network(config, release, ret);
	add_devices(config, ret);
	put(ret, "/actions", make(json_pack("{s:s}", "action_type", "InstanceStart")));
}

/* --- changing -------------------------------------------------------------------------------- */

void fc_requests_limit(const struct vmm_limits *limits, const struct strv *disks,
		       struct api_requests *ret)
{
	*ret = (struct api_requests){ 0 };
	STRV_EACH (disk, disks)
		add(ret, "PATCH", xasprintf("/drives/%s", disk),
		    make(json_pack("{s:s, s:o}", "drive_id", disk, "rate_limiter",
				   limiter(limits))));
	add(ret, "PATCH", xstrdup("/balloon"), balloon(limits));
}

void fc_requests_reset(struct api_requests *requests)
{
	for (size_t i = 0; i < requests->count; i++) {
		free(requests->items[i].path);
		free(requests->items[i].body);
	}
	free(requests->items);
	*requests = (struct api_requests){ 0 };
}
