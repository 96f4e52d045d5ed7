/* SPDX-License-Identifier: Apache-2.0 */
/* See fc_machine.h. The faults are worded as Firecracker 1.16.1 words them. */
#include "tests/fakes/fc_machine.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "tests/fakes/fc_devices.h"
#include "tests/fakes/os_error.h"

#define LOAD_FAULT                                                                                \
	"Start microvm error: System configuration error: Cannot load kernel due to invalid "     \
	"memory configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel " \
	"image: Kernel Loader: "

void machine_init(struct machine *machine, const struct fc_faults *faults, const char *id)
{
	*machine = (struct machine){
		.session.release = fc_release_parse(faults->version),
		.faults = faults,
		.id = id,
		.log_fd = STDOUT_FILENO,
		.metrics_fd = -1,
		.kernel_fd = -1,
		.initrd_fd = -1,
		.vsock_fd = -1,
		.serial_fd = -1,
		.level = LEVEL_INFO,
	};
	machine->config = json_pack("{s:i,s:i,s:b,s:b,s:s}", "vcpu_count", 1, "mem_size_mib", 128,
				    "smt", 0, "track_dirty_pages", 0, "huge_pages", "None");
}

/* --- files ---------------------------------------------------------------------------------- */

/* Logs, metrics and the console; made when missing since 1.14. Returns -errno. */
static int open_output(const struct machine *machine, const char *path)
{
	bool makes = machine->session.release >= FC_RELEASE(1, 14);
	int fd;

	if (makes && machine->faults->full_disk && access(path, F_OK) < 0)
		return -ENOSPC;
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | (makes ? O_CREAT : 0), 0666);
	return fd < 0 ? -errno : fd;
}

static ssize_t write_output(const struct machine *machine, int fd, const char *text, size_t length)
{
	if (!machine->faults->full_disk || fd <= STDERR_FILENO)
		return write(fd, text, length);
	errno = ENOSPC;
	return -1;
}

void machine_log(const struct machine *machine, enum machine_level level, const char *thread,
		 const char *format, ...)
{
	_cleanup_strbuf_ struct strbuf line = { 0 };
	char text[2048], when[32];
	struct timespec now;
	struct tm local;
	va_list args;

	if (level > machine->level)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &local);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	strbuf_printf(&line, "%s.%09ld [%s:%s] %s\n", when, now.tv_nsec, machine->id, thread, text);
	/* A line that does not fit is lost, there as here. */
	if (write_output(machine, machine->log_fd, line.data, line.length) < 0)
		return;
}

int machine_write_metrics(const struct machine *machine, struct error *err)
{
	char line[256];
	struct timespec now;

	if (machine->metrics_fd < 0)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(line, sizeof(line),
		 "{\"utc_timestamp_ms\":%lld,\"vmm\":{\"panic_count\":0},\"uart\":{}}\n",
		 (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	if (write_output(machine, machine->metrics_fd, line, strlen(line)) < 0)
		return error_set(err,
				 "Internal VMM error: Metrics error: Failed to write metrics: %s",
				 os_error(errno));
	return 0;
}

/* --- before the start ----------------------------------------------------------------------- */

static int put_logger(struct machine *machine, const json_t *body, struct error *err)
{
	const char *path = json_string_or(body, "log_path", NULL);
	const char *level = json_string_or(body, "level", "info");

	if (path) {
		int fd = open_output(machine, path);

		if (fd < 0)
			return error_set(err, "Logger error: Failed to open target file: %s",
					 os_error(-fd));
		devices_replace_fd(&machine->log_fd, fd);
	}
	machine->level = !strcasecmp(level, "off")	  ? LEVEL_OFF
			 : !strcasecmp(level, "error")	  ? LEVEL_ERROR
			 : !strncasecmp(level, "warn", 4) ? LEVEL_WARN
							  : LEVEL_INFO;
	return 0;
}

static int put_metrics(struct machine *machine, const json_t *body, struct error *err)
{
	int fd = open_output(machine, json_string_or(body, "metrics_path", ""));

	if (fd < 0)
		return error_set(err,
				 "Metrics error: Cannot initialize the metrics system due to bad "
				 "user input: %s",
				 os_error(-fd));
	machine->metrics_fd = fd;
	return 0;
}

/* What the request does not say falls back to the default, not to what was said before. */
static void set_members(json_t *object, const json_t *defaults, const json_t *body)
{
	json_object_update(object, (json_t *)defaults);
	json_object_update_existing(object, (json_t *)body);
}

static int put_machine_config(struct machine *machine, const json_t *body, struct error *err)
{
	_cleanup_json_ json_t *defaults = json_pack("{s:b,s:b,s:s}", "smt", 0, "track_dirty_pages",
						    0, "huge_pages", "None");

	if (machine->balloon &&
	    json_u64_or(body, "mem_size_mib", 0) < json_u64_or(machine->balloon, "amount_mib", 0))
		return error_set(err, "Machine config error: The memory size (MiB) is smaller than "
				      "the previously set balloon device target size.");
	set_members(machine->config, defaults, body);
	return 0;
}

static int put_boot_source(struct machine *machine, const json_t *body, struct error *err)
{
	const char *initrd = json_string_or(body, "initrd_path", NULL);
	const char *args = json_string_or(body, "boot_args", NULL);
	int kernel_fd, initrd_fd = -1;

	kernel_fd = open(json_string_or(body, "kernel_image_path", ""), O_RDONLY | O_CLOEXEC);
	if (kernel_fd < 0)
		return error_set(err, "Boot source error: The kernel file cannot be opened: %s",
				 os_error(errno));
	if (initrd)
		initrd_fd = open(initrd, O_RDONLY | O_CLOEXEC);
	if (initrd && initrd_fd < 0) {
		error_set(err,
			  "Boot source error: The initrd file cannot be opened due to invalid path "
			  "or invalid permissions. %s",
			  os_error(errno));
		close(kernel_fd);
		return -1;
	}
	devices_replace_fd(&machine->kernel_fd, kernel_fd);
	devices_replace_fd(&machine->initrd_fd, initrd_fd);
	free(machine->boot_args);
	machine->boot_args = xstrdup(args);
	return 0;
}

static int put_balloon(struct machine *machine, const json_t *body, struct error *err)
{
	if (json_u64_or(body, "amount_mib", 0) > json_u64_or(machine->config, "mem_size_mib", 0))
		return error_set(err, "Balloon config error: Amount of pages requested is too "
				      "large.");
	json_decref(machine->balloon);
	machine->balloon = json_pack("{s:i,s:b,s:i,s:b,s:b}", "amount_mib", 0, "deflate_on_oom", 0,
				     "stats_polling_interval_s", 0, "free_page_hinting", 0,
				     "free_page_reporting", 0);
	json_object_update_existing(machine->balloon, (json_t *)body);
	return 0;
}

/* --- the start ------------------------------------------------------------------------------ */

static int check_kernel(int fd, struct error *err)
{
#if defined(__x86_64__)
	Elf64_Ehdr header;

	if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
		return error_set(err, LOAD_FAULT "Unable to read elf header");
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return error_set(err, LOAD_FAULT "Invalid Elf magic number");
	if (header.e_phentsize != sizeof(Elf64_Phdr))
		return error_set(err, LOAD_FAULT "Invalid program header size");
#else
	char magic[4];

	/* Documentation/arch/arm64/booting.rst of Linux: the image's header. */
	if (pread(fd, magic, sizeof(magic), 56) != (ssize_t)sizeof(magic) ||
	    memcmp(magic, "ARMd", 4) != 0)
		return error_set(err, "Start microvm error: System configuration error: Cannot "
				      "load kernel due to invalid memory configuration or invalid "
				      "kernel image: Kernel Loader: failed to load PE kernel "
				      "image: Kernel Loader: Invalid PE magic number");
#endif
	return 0;
}

static int open_serial(struct machine *machine, struct error *err)
{
	const char *path = json_string_or(machine->serial, "serial_out_path", NULL);
	int fd = path ? open_output(machine, path) : STDOUT_FILENO;

	if (fd < 0)
		return error_set(err,
				 "Start microvm error: Failed to create device manager: Error with "
				 "EventFd: %s",
				 os_error(-fd));
	if (!path)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	devices_replace_fd(&machine->serial_fd, fd);
	return 0;
}

static int start(struct machine *machine, struct error *err)
{
	struct stat st;

	if (machine->kernel_fd < 0)
		return error_set(err, "Start microvm error: Cannot start microvm without kernel "
				      "configuration.");
	if (machine->faults->no_kvm)
		return error_set(err,
				 "Start microvm error: Kvm error: Error creating KVM object: %s "
				 "Make sure the user launching the firecracker process is "
				 "configured on the /dev/kvm file's ACL.",
				 os_error(ENOENT));
	if (open_serial(machine, err) < 0 || check_kernel(machine->kernel_fd, err) < 0)
		return -1;
	if (machine->initrd_fd >= 0 && fstat(machine->initrd_fd, &st) == 0 &&
	    (uint64_t)st.st_size > json_u64_or(machine->config, "mem_size_mib", 0) << 20)
		return error_set(err, "Start microvm error: Error with initrd initialization: "
				      "Failed to compute the initrd address..");
	/* " pci=off" is put behind what the request said. */
	if (machine->boot_args && strlen(machine->boot_args) + strlen(" pci=off") > 2047)
		return error_set(err, "Start microvm error: Invalid kernel command line: Inserting "
				      "string would make command line too long.");
	machine_write_metrics(machine, NULL);
	return 0;
}

/* --- after the start ------------------------------------------------------------------------ */

static int patch_balloon(struct machine *machine, const json_t *body, struct error *err)
{
	uint64_t amount = json_u64_or(body, "amount_mib", 0);

	if (!machine->balloon)
		return error_set(err, "Balloon update error: Failed perform action on device: "
				      "Device not found");
	if (!machine->balloon_active)
		return error_set(err, "Balloon update error: Balloon: Device not activated yet.");
	if (amount > json_u64_or(machine->config, "mem_size_mib", 0))
		return error_set(err,
				 "Balloon update error: Balloon: Requested memory should be less "
				 "than %lluMiB",
				 (unsigned long long)amount);
	json_object_set_new(machine->balloon, "amount_mib", json_integer((json_int_t)amount));
	return 0;
}

static void get_instance(const struct machine *machine, struct strbuf *body)
{
	const char *state = !machine->session.started ? "Not started"
			    : machine->is_paused      ? "Paused"
						      : "Running";

	strbuf_printf(body,
		      "{\"id\":\"%s\",\"state\":\"%s\",\"vmm_version\":\"%s\","
		      "\"app_name\":\"Firecracker\"}",
		      machine->id, state, machine->faults->version);
}

static void put_json(struct strbuf *body, const json_t *value)
{
	_cleanup_free_ char *text = json_dumps(value, JSON_COMPACT);

	strbuf_puts(body, text);
}

static int get_balloon(const struct machine *machine, struct strbuf *body, struct error *err)
{
	if (!machine->balloon)
		return error_set(err, machine->session.started
					      ? "Internal VMM error: Failed perform action on "
						"device: Device not found"
					      : "Balloon config error: No balloon device found.");
	put_json(body, machine->balloon);
	return 0;
}

int machine_call(struct machine *machine, const struct fc_request *request, struct strbuf *body,
		 struct error *err)
{
	switch (request->call) {
	case FC_GET_INSTANCE:
		get_instance(machine, body);
		return 0;
	case FC_GET_VERSION:
		strbuf_printf(body, "{\"firecracker_version\":\"%s\"}", machine->faults->version);
		return 0;
	case FC_GET_MACHINE_CONFIG:
		put_json(body, machine->config);
		return 0;
	case FC_GET_BALLOON:
		return get_balloon(machine, body, err);
	case FC_PUT_LOGGER:
		return put_logger(machine, request->body, err);
	case FC_PUT_METRICS:
		return put_metrics(machine, request->body, err);
	case FC_PUT_SERIAL:
		json_decref(machine->serial);
		machine->serial = json_incref(request->body);
		return 0;
	case FC_PUT_MACHINE_CONFIG:
		return put_machine_config(machine, request->body, err);
	case FC_PUT_BOOT_SOURCE:
		return put_boot_source(machine, request->body, err);
	case FC_PUT_DRIVE:
		return devices_put_drive(machine, request, err);
	case FC_PUT_NETWORK:
		return devices_put_network(machine, request, err);
	case FC_PUT_VSOCK:
		return devices_put_vsock(machine, request->body, err);
	case FC_PUT_BALLOON:
		return put_balloon(machine, request->body, err);
	case FC_START:
		return start(machine, err);
	case FC_FLUSH_METRICS:
		return machine_write_metrics(machine, err);
	case FC_PATCH_DRIVE:
		return devices_patch_drive(machine, request, err);
	case FC_PATCH_NETWORK:
		return devices_patch_network(machine, request, err);
	case FC_PATCH_BALLOON:
		return patch_balloon(machine, request->body, err);
	case FC_PATCH_VM:
		machine->is_paused = !strcmp(json_string_or(request->body, "state", ""), "Paused");
		return 0;
	case FC_PUT_ENTROPY:
	case FC_CTRL_ALT_DEL: /* the scripted guest has no keyboard, as stoker's kernels */
		return 0;
	}
	return error_set(err, "the fake does not know this call");
}
