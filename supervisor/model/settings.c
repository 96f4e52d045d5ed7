/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults of stoker.ini(5); config/settings overlays what the file says. */
#include "model/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

void settings_defaults(struct settings *ret)
{
	*ret = (struct settings){
		.fleet_dir = xstrdup(STOKER_SYSCONFDIR "/stoker/fleet.d"),
		.state_dir = xstrdup("/var/lib/stoker"),
		.run_dir = xstrdup("/run/stoker"),
		.log_dir = xstrdup("/var/log/stoker"),
		.bpf_dir = xstrdup("/sys/fs/bpf/stoker"),
		.libexec_dir = xstrdup(STOKER_LIBEXECDIR),
		.log_level = LOG_LEVEL_INFO,
		.uid_base = 900000,
		.uid_count = 65536,
		.fetch_retries = 3,
		.stall_timeout_ms = 30000,
		.image_keep = 5,
		.image_keep_for_ms = UINT64_C(168) * 3600 * 1000,
		.image_min_free = UINT64_C(1) << 30,
		.jobs = 0,
		.compression = compression_default(),
		.default_vmm = xstrdup("auto"),
		.default_kernel = xstrdup("auto"),
		.qemu_path = xstrdup(SETTINGS_QEMU),
		.firecracker_path = xstrdup("/usr/bin/firecracker"),
		.jailer_path = xstrdup("/usr/bin/jailer"),
		.jail = true,
		.flood_shield = true,
		.boot_timeout_ms = 180000,
		.guest_timeout_ms = 60000,
		.restart_min_ms = 100,
		.restart_max_ms = 60000,
		.restart_reset_ms = 60000,
		.metrics_listen = xstrdup("unix"),
		.cgroup_parent = xstrdup("auto"),
		.log_file_bytes = 10 << 20,
		.log_files = 3,
		.log_rate_bytes = 1 << 20,
		.log_forward = xstrdup("off"),
	};
}

void settings_reset(struct settings *settings)
{
	free(settings->fleet_dir);
	free(settings->state_dir);
	free(settings->run_dir);
	free(settings->log_dir);
	free(settings->bpf_dir);
	free(settings->libexec_dir);
	strv_reset(&settings->insecure_registries);
	free(settings->credentials_path);
	free(settings->credential_helpers_dir);
	for (size_t i = 0; i < settings->registry_count; i++) {
		free(settings->registries[i].host);
		strv_reset(&settings->registries[i].mirrors);
		free(settings->registries[i].ca_path);
		free(settings->registries[i].token_server);
	}
	free(settings->registries);
	free(settings->default_vmm);
	free(settings->default_kernel);
	free(settings->qemu_path);
	free(settings->firecracker_path);
	free(settings->jailer_path);
	free(settings->metrics_listen);
	free(settings->cgroup_parent);
	free(settings->log_forward);
	free(settings->log_forward_ca);
	free(settings->log_forward_cert);
	free(settings->log_forward_key);
	*settings = (struct settings){ 0 };
}

const struct registry_settings *settings_registry(const struct settings *settings, const char *host)
{
	for (size_t i = 0; i < settings->registry_count; i++)
		if (strcmp(settings->registries[i].host, host) == 0)
			return &settings->registries[i];
	return NULL;
}
