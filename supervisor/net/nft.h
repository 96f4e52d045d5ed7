/* SPDX-License-Identifier: Apache-2.0 */
/* nft(8) of the host: no shell, no temporary file. */
#ifndef STOKER_NET_NFT_H
#define STOKER_NET_NFT_H

#include "base/error.h"
#include "base/strbuf.h"

/* Carries out `rules` as one transaction: all of it or, with an error, nothing. */
int nft_apply(const char *rules, struct error *err);

/* What `nft list chain inet stoker CHAIN` prints. */
int nft_list_chain(const char *chain, struct strbuf *ret, struct error *err);

/* What `nft list chains inet` prints: of each table of that family. */
int nft_list_chains(struct strbuf *ret, struct error *err);

#endif
