/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of blobs and documents, by libcrypto. Used by the fetcher and by the store. */
#include "image/sha256.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct sha256 {
	EVP_MD_CTX *context;
};

/* libcrypto fails here only without memory, or in a policy that forbids SHA-256: no image could be
 * verified then. */
static void must(int worked)
{
	if (worked == 1)
		return;
	fputs("libcrypto has no SHA-256\n", stderr);
	abort();
}

void sha256_reset(struct sha256 *hash)
{
	must(EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL));
}

struct sha256 *sha256_new(void)
{
	struct sha256 *hash = xcalloc(1, sizeof(*hash));

	hash->context = EVP_MD_CTX_new();
	must(hash->context != NULL);
	sha256_reset(hash);
	return hash;
}

void sha256_add(struct sha256 *hash, const void *bytes, size_t length)
{
	must(EVP_DigestUpdate(hash->context, bytes, length));
}

static void format(const unsigned char *bytes, char ret[OCI_DIGEST_SIZE])
{
	char *at = ret + sprintf(ret, "sha256:");

	for (int i = 0; i < 32; i++)
		at += sprintf(at, "%02x", bytes[i]);
}

void sha256_finish(struct sha256 *hash, char ret[OCI_DIGEST_SIZE])
{
	unsigned char bytes[EVP_MAX_MD_SIZE];

	must(EVP_DigestFinal_ex(hash->context, bytes, NULL));
	format(bytes, ret);
}

struct sha256 *sha256_free(struct sha256 *hash)
{
	if (!hash)
		return NULL;
	EVP_MD_CTX_free(hash->context);
	free(hash);
	return NULL;
}

void sha256_digest(const void *bytes, size_t length, char ret[OCI_DIGEST_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	must(EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL));
	format(digest, ret);
}
