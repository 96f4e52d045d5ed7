/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/boot.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "guest/initramfs.h"
#include "vmm/kernel.h"

struct boot_entry {
	char *choice; /* owned, as all below */
	char *kernel_path;
	char *initramfs_path;
	bool has_verity;
	struct boot_entry *next;
};

struct boot {
	const struct settings *settings;
	struct boot_entry *entries;
};

struct boot *boot_new(const struct settings *settings)
{
	struct boot *boot = xcalloc(1, sizeof(*boot));

	boot->settings = settings;
	return boot;
}

struct boot *boot_free(struct boot *boot)
{
	if (!boot)
		return NULL;
	boot_forget(boot);
	free(boot);
	return NULL;
}

void boot_forget(struct boot *boot)
{
	while (boot->entries) {
		struct boot_entry *entry = boot->entries;

		boot->entries = entry->next;
		free(entry->choice);
		free(entry->kernel_path);
		free(entry->initramfs_path);
		free(entry);
	}
}

static int resolve(const struct settings *settings, const char *choice, struct boot_entry *entry,
		   struct error *err)
{
	_cleanup_free_ char *cache = xasprintf("%s/boot", settings->state_dir);
	_cleanup_free_ char *init = xasprintf("%s/stoker-init", settings->libexec_dir);
	struct kernel kernel = { 0 };
	int result;

	/* Kernels and modules are the distribution's, not secret; VMMs read them under their uids.
	 */
	if (fs_mkdir_p(cache, 0755, err) < 0 ||
	    kernel_resolve(choice, MACHINE_HOST, cache, "/boot", "/lib/modules", &kernel, err) < 0)
		return -1;
	result = !settings->verity ? 0
				   : kernel_add_verity(&kernel, cache, "/lib/modules",
						       &entry->has_verity, err);
	if (result == 0)
		result = initramfs_base(init, &kernel.modules, cache, &entry->initramfs_path, err);
	if (result == 0) {
		entry->choice = xstrdup(choice);
		entry->kernel_path = xstrdup(kernel.path);
	}
	kernel_reset(&kernel);
	return result;
}

int boot_find(struct boot *boot, const char *choice, struct boot_files *ret, struct error *err)
{
	struct boot_entry *entry = boot->entries;

	while (entry && strcmp(entry->choice, choice) != 0)
		entry = entry->next;
	if (!entry) {
		struct boot_entry fresh = { 0 };

		if (resolve(boot->settings, choice, &fresh, err) < 0)
			return error_wrap(err, "kernel '%s'", choice);
		fresh.next = boot->entries;
		entry = boot->entries = xmemdup(&fresh, sizeof(fresh));
	}
	*ret = (struct boot_files){ entry->kernel_path, entry->initramfs_path, entry->has_verity };
	return 0;
}
