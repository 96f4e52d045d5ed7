/* SPDX-License-Identifier: Apache-2.0 */
/* Called by nat.c with the text that rules.c makes. */
#include "net/nft.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/program.h"

enum {
	NFT_OUTPUT_MAX = 4096,
	NFT_LIST_MAX = 1 << 20, /* of as many rules, or chains, as there may be */
	NFT_TIMEOUT_MS = 20000,
};

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
	if (strstr(output, "type nat") || strstr(output, "dnat") || strstr(output, "masquerade") ||
	    strstr(output, "fib"))
		return error_set(err, "nftables: the kernel has no address translation "
				      "(CONFIG_NFT_NAT, CONFIG_NFT_MASQ and CONFIG_NFT_FIB_INET; "
				      "modprobe -a nft_chain_nat nft_nat nft_masq nft_fib_inet)");
	return error_set(err, "nftables: table 'inet stoker': %s (CONFIG_NF_TABLES_INET?)",
			 *output ? output : "nft failed without a word");
}

int nft_apply(const char *rules, struct error *err)
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

static int list(char *const argv[], struct strbuf *ret, int *ret_status, struct error *err)
{
	struct program nft = { .argv = argv,
			       .input_fd = -1,
			       .output_max = NFT_LIST_MAX,
			       .timeout_ms = NFT_TIMEOUT_MS };

	if (!argv[0])
		return error_set(err, "nft: not found (apt-get install nftables)");
	return program_run(&nft, ret, ret_status, err);
}

int nft_list_chain(const char *chain, struct strbuf *ret, struct error *err)
{
	char *argv[] = {
		(char *)find_nft(), "list", "chain", "inet", "stoker", (char *)chain, NULL
	};
	int status;

	if (list(argv, ret, &status, err) < 0)
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return error_set(err,
				 "nftables: table 'inet stoker' has no chain '%s' (was the ruleset "
				 "flushed? stokerctl reload)",
				 chain);
	return 0;
}

int nft_list_chains(struct strbuf *ret, struct error *err)
{
	char *argv[] = { (char *)find_nft(), "list", "chains", "inet", NULL };
	int status;

	if (list(argv, ret, &status, err) < 0)
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return error_set(err, "nftables: the chains cannot be listed");
	return 0;
}
