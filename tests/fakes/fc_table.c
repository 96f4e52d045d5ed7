/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints of Firecracker's API that stoker uses, and what they take. fc_schema.c reads it. */
#include "tests/fakes/fc_table.h"

/* --- bodies -------------------------------------------------------------------------------- */

static const struct fc_field bucket_fields[] = {
	{ "size", FC_U64, FC_REQUIRED },
	{ "one_time_burst", FC_U64, FC_OPTIONAL },
	{ "refill_time", FC_U64, FC_REQUIRED },
	{ 0 },
};
static const struct fc_object bucket = { "TokenBucketConfig", bucket_fields, true };

static const struct fc_field limiter_fields[] = {
	{ "bandwidth", FC_OBJECT, FC_OPTIONAL, .object = &bucket },
	{ "ops", FC_OBJECT, FC_OPTIONAL, .object = &bucket },
	{ 0 },
};
static const struct fc_object limiter = { "RateLimiterConfig", limiter_fields };

static const struct fc_field logger_fields[] = {
	{ "log_path", FC_PATH, FC_OPTIONAL },	{ "level", FC_LEVEL, FC_OPTIONAL },
	{ "show_level", FC_BOOL, FC_OPTIONAL }, { "show_log_origin", FC_BOOL, FC_OPTIONAL },
	{ "module", FC_STRING, FC_OPTIONAL },	{ 0 },
};
static const struct fc_object logger = { "LoggerConfig", logger_fields };

static const struct fc_field metrics_fields[] = {
	{ "metrics_path", FC_PATH, FC_REQUIRED },
	{ 0 },
};
static const struct fc_object metrics = { "MetricsConfig", metrics_fields, true };

static const struct fc_field serial_fields[] = {
	{ "serial_out_path", FC_PATH, FC_OPTIONAL },
	{ "rate_limiter", FC_OBJECT, FC_OPTIONAL, FC_RELEASE(1, 16), .object = &bucket },
	{ 0 },
};
static const struct fc_object serial = { "SerialConfig", serial_fields };

static const char *const templates[] = { "C3", "T2", "T2S", "None", "T2CL", "T2A", NULL };
static const char *const page_sizes[] = { "None", "2M", NULL };
static const struct fc_field machine_fields[] = {
	{ "vcpu_count", FC_U8, FC_REQUIRED },
	{ "mem_size_mib", FC_USIZE, FC_REQUIRED },
	{ "smt", FC_BOOL, FC_DEFAULT },
	{ "cpu_template", FC_ENUM, FC_OPTIONAL, .values = templates },
	{ "track_dirty_pages", FC_BOOL, FC_DEFAULT },
	{ "huge_pages", FC_ENUM, FC_DEFAULT, FC_RELEASE(1, 7), .values = page_sizes },
	{ 0 },
};
static const struct fc_object machine = { "MachineConfig", machine_fields };

static const struct fc_field boot_fields[] = {
	{ "kernel_image_path", FC_STRING, FC_REQUIRED },
	{ "initrd_path", FC_STRING, FC_OPTIONAL },
	{ "boot_args", FC_STRING, FC_OPTIONAL },
	{ 0 },
};
static const struct fc_object boot_source = { "BootSourceConfig", boot_fields };

static const char *const cache_types[] = { "Unsafe", "Writeback", NULL };
static const char *const engines[] = { "Async", "Sync", NULL };
static const struct fc_field drive_fields[] = {
	{ "drive_id", FC_STRING, FC_REQUIRED },
	{ "partuuid", FC_STRING, FC_OPTIONAL },
	{ "is_root_device", FC_BOOL, FC_REQUIRED },
	{ "cache_type", FC_ENUM, FC_DEFAULT, .values = cache_types },
	/* Optional since vhost-user disks, which have no file. */
	{ "is_read_only", FC_BOOL, FC_OPTIONAL, .required_until = FC_RELEASE(1, 6) },
	{ "path_on_host", FC_STRING, FC_OPTIONAL, .required_until = FC_RELEASE(1, 6) },
	{ "rate_limiter", FC_OBJECT, FC_OPTIONAL, .object = &limiter },
	{ "io_engine", FC_ENUM, FC_OPTIONAL, .values = engines },
	{ "socket", FC_STRING, FC_OPTIONAL, FC_RELEASE(1, 6) },
	{ 0 },
};
static const struct fc_object drive = { "BlockDeviceConfig", drive_fields };

static const struct fc_field drive_update_fields[] = {
	{ "drive_id", FC_STRING, FC_REQUIRED },
	{ "path_on_host", FC_STRING, FC_OPTIONAL },
	{ "rate_limiter", FC_OBJECT, FC_OPTIONAL, .object = &limiter },
	{ 0 },
};
static const struct fc_object drive_update = { "BlockDeviceUpdateConfig", drive_update_fields };

static const struct fc_field network_fields[] = {
	{ "iface_id", FC_STRING, FC_REQUIRED },
	{ "host_dev_name", FC_STRING, FC_REQUIRED },
	{ "guest_mac", FC_MAC, FC_OPTIONAL },
	{ "mtu", FC_U16, FC_OPTIONAL, FC_RELEASE(1, 16) },
	{ "rx_rate_limiter", FC_OBJECT, FC_OPTIONAL, .object = &limiter },
	{ "tx_rate_limiter", FC_OBJECT, FC_OPTIONAL, .object = &limiter },
	{ 0 },
};
static const struct fc_object network = { "NetworkInterfaceConfig", network_fields };

static const struct fc_field network_update_fields[] = {
	{ "iface_id", FC_STRING, FC_REQUIRED },
	{ "rx_rate_limiter", FC_OBJECT, FC_OPTIONAL, .object = &limiter },
	{ "tx_rate_limiter", FC_OBJECT, FC_OPTIONAL, .object = &limiter },
	{ 0 },
};
static const struct fc_object network_update = { "NetworkInterfaceUpdateConfig",
						 network_update_fields };

static const struct fc_field vsock_fields[] = {
	{ "vsock_id", FC_STRING, FC_OPTIONAL },
	{ "guest_cid", FC_U32, FC_REQUIRED },
	{ "uds_path", FC_STRING, FC_REQUIRED },
	{ 0 },
};
static const struct fc_object vsock = { "VsockDeviceConfig", vsock_fields };

static const struct fc_field entropy_fields[] = {
	{ "rate_limiter", FC_OBJECT, FC_OPTIONAL, .object = &limiter },
	{ 0 },
};
static const struct fc_object entropy = { "EntropyDeviceConfig", entropy_fields };

static const struct fc_field balloon_fields[] = {
	{ "amount_mib", FC_U32, FC_REQUIRED },
	{ "deflate_on_oom", FC_BOOL, FC_REQUIRED },
	{ "stats_polling_interval_s", FC_U16, FC_DEFAULT },
	{ "free_page_hinting", FC_BOOL, FC_DEFAULT, FC_RELEASE(1, 14) },
	{ "free_page_reporting", FC_BOOL, FC_DEFAULT, FC_RELEASE(1, 14) },
	{ 0 },
};
static const struct fc_object balloon = { "BalloonDeviceConfig", balloon_fields };

static const struct fc_field balloon_update_fields[] = {
	{ "amount_mib", FC_U32, FC_REQUIRED },
	{ 0 },
};
static const struct fc_object balloon_update = { "BalloonUpdateConfig", balloon_update_fields };

static const char *const actions[] = { "FlushMetrics", "InstanceStart", "SendCtrlAltDel", NULL };
static const struct fc_field action_fields[] = {
	{ "action_type", FC_ENUM, FC_REQUIRED, .values = actions },
	{ 0 },
};
static const struct fc_object action = { "ActionBody", action_fields };

static const char *const states[] = { "Paused", "Resumed", NULL };
static const struct fc_field vm_fields[] = {
	{ "state", FC_ENUM, FC_REQUIRED, .values = states },
	{ 0 },
};
static const struct fc_object vm = { "Vm", vm_fields };

/* --- endpoints ----------------------------------------------------------------------------- */

const struct fc_endpoint fc_endpoints[] = {
	{ FC_GET_INSTANCE, "GET", "", .when = FC_ALWAYS },
	{ FC_GET_VERSION, "GET", "version", .when = FC_ALWAYS },
	{ FC_GET_MACHINE_CONFIG, "GET", "machine-config", .when = FC_ALWAYS },
	{ FC_GET_BALLOON, "GET", "balloon", .when = FC_ALWAYS },
	{ FC_PUT_LOGGER, "PUT", "logger", &logger, .when = FC_BEFORE_START },
	{ FC_PUT_METRICS, "PUT", "metrics", &metrics, .when = FC_BEFORE_START,
	  .once = "Metrics error: Cannot initialize the metrics system due to bad user input: "
		  "Reinitialization of metrics not allowed." },
	{ FC_PUT_SERIAL, "PUT", "serial", &serial, .when = FC_BEFORE_START,
	  .since = FC_RELEASE(1, 14) },
	{ FC_PUT_MACHINE_CONFIG, "PUT", "machine-config", &machine, .when = FC_BEFORE_START },
	{ FC_PUT_BOOT_SOURCE, "PUT", "boot-source", &boot_source, .when = FC_BEFORE_START },
	{ FC_PUT_DRIVE, "PUT", "drives", &drive, "drive_id", .when = FC_BEFORE_START,
	  .hotplug_since = FC_RELEASE(1, 16) },
	{ FC_PUT_NETWORK, "PUT", "network-interfaces", &network, "iface_id",
	  .when = FC_BEFORE_START, .hotplug_since = FC_RELEASE(1, 16) },
	{ FC_PUT_VSOCK, "PUT", "vsock", &vsock, .when = FC_BEFORE_START },
	{ FC_PUT_ENTROPY, "PUT", "entropy", &entropy, .when = FC_BEFORE_START,
	  .since = FC_RELEASE(1, 4) },
	{ FC_PUT_BALLOON, "PUT", "balloon", &balloon, .when = FC_BEFORE_START },
	{ FC_START, "PUT", "actions", &action, .action = "InstanceStart", .when = FC_BEFORE_START },
	{ FC_CTRL_ALT_DEL, "PUT", "actions", &action, .action = "SendCtrlAltDel",
	  .when = FC_AFTER_START },
	{ FC_FLUSH_METRICS, "PUT", "actions", &action, .action = "FlushMetrics",
	  .when = FC_AFTER_START },
	{ FC_PATCH_DRIVE, "PATCH", "drives", &drive_update, "drive_id", .when = FC_AFTER_START },
	{ FC_PATCH_NETWORK, "PATCH", "network-interfaces", &network_update, "iface_id",
	  .when = FC_AFTER_START },
	{ FC_PATCH_BALLOON, "PATCH", "balloon", &balloon_update, .when = FC_AFTER_START },
	{ FC_PATCH_VM, "PATCH", "vm", &vm, .when = FC_AFTER_START },
};
const size_t fc_endpoint_count = sizeof(fc_endpoints) / sizeof(*fc_endpoints);
