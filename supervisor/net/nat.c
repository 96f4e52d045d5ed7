/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c installs and removes the rules here, by nft(8) reading one transaction from a descriptor:
 * no shell, no temporary file. The rules name taps by their prefix, so they need no change per VM.
 */
#include "net/nat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "loop/loop.h"
#include "net/net.h"

enum {
	NFT_OUTPUT_MAX = 600,
	NFT_TIMEOUT_MS = 20000,
};

/* Adding the table before deleting it makes the deletion never fail. */
#define RULES_REMOVE              \
	"add table inet stoker\n" \
	"delete table inet stoker\n"

#define TAPS "\"" NET_TAP_PREFIX "*\""

/* A VM gets no service of the host, but answers to what the host asked it. Between two taps the
 * guard has judged already. The guard answers and absorbs ARP, neighbour discovery and MLD, so that
 * no rule is needed for them. Frames that concern no tap pass untouched. */
static const char rules_install[] = RULES_REMOVE
	"table inet stoker {\n"
	"	chain input {\n"
	"		type filter hook input priority filter; policy accept;\n"
	"		iifname != " TAPS " accept\n"
	"		ct state established,related accept\n"
	"		counter drop\n"
	"	}\n"
	"	chain forward {\n"
	"		type filter hook forward priority filter; policy accept;\n"
	"		iifname != " TAPS " oifname != " TAPS " accept\n"
	"		iifname " TAPS " oifname " TAPS " accept\n"
	"		ct state established,related accept\n"
	"		counter drop\n"
	"	}\n"
	"}\n";

static const char *find_nft(void)
{
	static const char *const places[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft",
					      "/usr/local/sbin/nft" };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

/* A descriptor from which `text` can be read. */
static int open_text(const char *text, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("nft", MFD_CLOEXEC);

	if (fd < 0)
		return error_errno(err, errno, "nft: memfd_create");
	if (fs_write_all(fd, text, strlen(text), err) < 0)
		return error_wrap(err, "nft");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_errno(err, errno, "nft: rewind the rules");
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Reads what nft says until it closes its end: the first part is kept, the rest read and thrown
 * away, so that it never blocks. False when it took too long. */
static bool read_output(int fd, char output[NFT_OUTPUT_MAX])
{
	uint64_t deadline_ms = loop_now_ms() + NFT_TIMEOUT_MS;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char bytes[512];
	size_t kept = 0;

	for (;;) {
		uint64_t now_ms = loop_now_ms();
		ssize_t length;

		output[kept] = '\0';
		if (now_ms >= deadline_ms)
			return false;
		if (poll(&poll_fd, 1, (int)(deadline_ms - now_ms)) <= 0)
			continue;
		length = read(fd, bytes, sizeof(bytes));
		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0)
			return true;
		if ((size_t)length > NFT_OUTPUT_MAX - 1 - kept)
			length = (ssize_t)(NFT_OUTPUT_MAX - 1 - kept);
		memcpy(output + kept, bytes, (size_t)length);
		kept += (size_t)length;
	}
}

static int spawn_nft(const char *path, int rules, int output, pid_t *ret, struct error *err)
{
	char *argv[] = { (char *)path, "-f", "-", NULL };
	char *envp[] = { "LC_ALL=C", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int result;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawn_file_actions_adddup2(&actions, rules, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	result = posix_spawn(ret, path, &actions, &attributes, argv, envp);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return result ? error_errno(err, result, "%s: start", path) : 0;
}

static int explain_nft(const char *output, struct error *err)
{
	if (strstr(output, "ct state"))
		return error_set(err, "nftables: the kernel has no connection tracking "
				      "(CONFIG_NF_CONNTRACK and CONFIG_NFT_CT; modprobe nft_ct)");
	if (strstr(output, "Operation not permitted"))
		return error_set(err, "nftables: not permitted (needs CAP_NET_ADMIN)");
	return error_set(err, "nftables: table 'inet stoker': %s (CONFIG_NF_TABLES_INET?)",
			 *output ? output : "nft failed without a word");
}

static int run_nft(const char *rules, struct error *err)
{
	_cleanup_close_ int input = -1, reader = -1, writer = -1;
	const char *path = find_nft();
	char output[NFT_OUTPUT_MAX];
	bool is_complete;
	int ends[2], status;
	pid_t pid;

	if (!path)
		return error_set(err, "nft: not found (apt-get install nftables)");
	if (open_text(rules, &input, err) < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, errno, "nft: pipe");
	reader = ends[0];
	writer = ends[1];
	if (spawn_nft(path, input, writer, &pid, err) < 0)
		return -1;
	close(take_fd(&writer));
	is_complete = read_output(reader, output);
	if (!is_complete)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_errno(err, errno, "nft: wait for it");
	if (!is_complete)
		return error_set(err, "nft: no end after %d s", NFT_TIMEOUT_MS / 1000);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return explain_nft(output, err);
	return 0;
}

int nat_install(struct error *err)
{
	return run_nft(rules_install, err);
}

int nat_remove(struct error *err)
{
	return run_nft(RULES_REMOVE, err);
}
