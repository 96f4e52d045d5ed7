/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c installs and removes the rules here, by nft(8) reading one transaction from a descriptor:
 * no shell, no temporary file. The rules name taps by their prefix, so they need no change per VM.
 */
#include "net/nat.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/program.h"
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
	const char *path = find_nft();
	char *argv[] = { (char *)path, "-f", "-", NULL };
	_cleanup_strbuf_ struct strbuf output = { 0 };
	_cleanup_close_ int input = -1;
	struct program nft = { .argv = argv,
			       .with_errors = true,
			       .output_max = NFT_OUTPUT_MAX,
			       .timeout_ms = NFT_TIMEOUT_MS };
	int status;

	if (!path)
		return error_set(err, "nft: not found (apt-get install nftables)");
	if (open_text(rules, &input, err) < 0)
		return -1;
	nft.input_fd = input;
	if (program_run(&nft, &output, &status, err) < 0)
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return explain_nft(strbuf_text(&output), err);
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
