/* SPDX-License-Identifier: Apache-2.0 */
/* Called by job.c for each registry and mirror that a fetcher is to ask. The file is read anew each
 * time: a password that was changed counts from the next fetch on. */
#include "image/grant.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "image/credential.h"
#include "loop/child.h"

enum { FILE_MAX = 1 << 20 };

struct grant {
	struct child *helper; /* owned; NULL: none, or it has ended */
};

/* Like a private key: nobody but its owner may read it. */
static int read_file(const char *path, struct strbuf *ret, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return error_set(err, "%s: cannot open: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, "%s: not a regular file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_set(err, "%s: owned by uid %u (chown root %s)", path,
				 (unsigned)st.st_uid, path);
	if (st.st_mode & 077)
		return error_set(err, "%s: open to others than its owner (chmod 600 %s)", path,
				 path);
	return fs_read_fd(fd, path, FILE_MAX, ret, err);
}

static void on_helper_ended(struct child *child, const struct child_exit *status, void *data)
{
	struct grant *grant = data;

	/* What it had to say is in the pipe; the fetcher judges it. */
	(void)status;
	grant->helper = child_free(child);
}

/* docker-credential-NAME get: the server on its standard input, the answer into `output`. As root,
 * in a session of its own, with nothing of ours but those two. */
static int start_helper(struct loop *loop, const char *directory,
			const struct credential_entry *entry, int output, struct grant *grant,
			struct error *err)
{
	static char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
		":/sbin:/bin",
		"HOME=/root", "LC_ALL=C", NULL
	};
	_cleanup_free_ char *program = xasprintf("%s/docker-credential-%s", directory,
						 entry->helper);
	char get[] = "get";
	char *argv[] = { program, get, NULL };
	_cleanup_close_ int input = -1, question = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, errno, "pipe");
	input = ends[0];
	question = ends[1];
	/* Shorter than PIPE_BUF: it fits in. */
	if (fs_write_all(question, entry->server, strlen(entry->server), err) < 0)
		return -1;
	return child_spawn(
		loop,
		&(struct child_options){ .argv = argv,
					 .envp = environment,
					 .fds = (struct child_fd[]){ { input, 0 }, { output, 1 } },
					 .fd_count = 2 },
		on_helper_ended, grant, &grant->helper, err);
}

/* The pipe's buffer takes it whole: CREDENTIAL_TEXT_MAX. */
static int write_credential(const struct credential *credential, int output, struct error *err)
{
	_cleanup_free_ char *text = credential_format(credential);

	return fs_write_all(output, text, strlen(text), err);
}

static int fill(struct loop *loop, const struct settings *settings,
		const struct credential_entry *entry, int output, struct grant *grant,
		struct error *err)
{
	const char *directory = settings->credential_helpers_dir;

	if (entry->helper && directory)
		return start_helper(loop, directory, entry, output, grant, err);
	if (!entry->is_needed)
		return write_credential(&entry->credential, output, err);
	/* Never another credential instead of the one that was meant (CVE-2021-41092). */
	return error_set(err,
			 "%s wants the helper '%s' to be asked (credential_helpers in stoker.ini "
			 "allows it)",
			 settings->credentials_path, entry->helper);
}

static int make(struct loop *loop, const struct settings *settings, const char *registry,
		const char *repository, struct credential_entry *entry, struct grant **ret,
		int *ret_fd, struct error *err)
{
	_cleanup_strbuf_ struct strbuf file = { 0 };
	_cleanup_close_ int input = -1, output = -1;
	struct grant *grant;
	int ends[2];

	if (read_file(settings->credentials_path, &file, err) < 0 ||
	    credential_find(strbuf_text(&file), file.length, registry, repository, entry, err) < 0)
		return -1;
	if (!entry->credential.user && !entry->is_needed &&
	    !(entry->helper && settings->credential_helpers_dir))
		return 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, errno, "pipe");
	input = ends[0];
	output = ends[1];
	grant = xcalloc(1, sizeof(*grant));
	if (fill(loop, settings, entry, output, grant, err) < 0) {
		grant_free(grant);
		return -1;
	}
	*ret = grant;
	*ret_fd = take_fd(&input);
	return 0;
}

int grant_make(struct loop *loop, const struct settings *settings, const char *registry,
	       const char *repository, struct grant **ret, int *ret_fd, struct error *err)
{
	struct credential_entry entry = { 0 };
	int result;

	*ret = NULL;
	*ret_fd = -1;
	if (!settings->credentials_path)
		return 0;
	result = make(loop, settings, registry, repository, &entry, ret, ret_fd, err);
	credential_entry_reset(&entry);
	if (result < 0 && err)
		err->number = 0; /* whatever it is, an operator can mend it meanwhile */
	return result < 0 ? error_wrap(err, "credentials for '%s'", registry) : 0;
}

struct grant *grant_free(struct grant *grant)
{
	if (!grant)
		return NULL;
	if (grant->helper) {
		child_kill(grant->helper, SIGKILL);
		while (waitpid(child_pid(grant->helper), NULL, 0) < 0 && errno == EINTR)
			;
		child_free(grant->helper);
	}
	free(grant);
	return NULL;
}
