/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of both machines in all their forms, made from nothing. For test_kernel.c and
 * test_kernel_image.c. */
#ifndef STOKER_TESTS_KERNELS_H
#define STOKER_TESTS_KERNELS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bzlib.h>
#include <cmocka.h>
#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/strbuf.h"

enum { ELF_BYTES = 40000, NOTE_AT = 128, PAYLOAD_OFFSET = 0x300, ZBOOT_PAYLOAD = 0x1000 };

typedef void pack_fn(const uint8_t *plain, struct strbuf *out);

/* The least that is a kernel: an ELF header, one note, and filling that differs by `seed`. */
static inline void make_elf(uint8_t *elf, unsigned seed)
{
	Elf64_Ehdr header = { .e_type = ET_EXEC,
			      .e_machine = EM_X86_64,
			      .e_version = EV_CURRENT,
			      .e_phoff = sizeof(header),
			      .e_phentsize = sizeof(Elf64_Phdr),
			      .e_phnum = 1 };
	Elf64_Phdr segment = { .p_type = PT_NOTE, .p_offset = NOTE_AT, .p_filesz = 24 };
	Elf64_Nhdr note = { .n_namesz = 4, .n_descsz = 8, .n_type = 18 };

	memcpy(header.e_ident, ELFMAG, SELFMAG);
	header.e_ident[EI_CLASS] = ELFCLASS64;
	header.e_ident[EI_DATA] = ELFDATA2LSB;
	for (size_t i = 0; i < ELF_BYTES; i++)
		elf[i] = (uint8_t)(i * i / 97 + seed);
	memcpy(elf, &header, sizeof(header));
	memcpy(elf + sizeof(header), &segment, sizeof(segment));
	memcpy(elf + NOTE_AT, &note, sizeof(note));
	memcpy(elf + NOTE_AT + sizeof(note), "Xen", 4);
}

/* The least that is an arm64 Image. */
static inline void make_image(uint8_t *image, unsigned seed)
{
	make_elf(image, seed);
	memset(image, 0, 64);
	memcpy(image, "MZ", 2);
	memcpy(image + 56, "ARM\x64", 4);
}

static inline void append_size(struct strbuf *out)
{
	uint32_t size = ELF_BYTES;

	strbuf_add(out, &size, sizeof(size));
}

static inline void pack_gzip(const uint8_t *elf, struct strbuf *out)
{
	uint8_t packed[ELF_BYTES + 1024];
	z_stream stream = { .next_in = (Bytef *)elf,
			    .avail_in = ELF_BYTES,
			    .next_out = packed,
			    .avail_out = sizeof(packed) };

	assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	strbuf_add(out, packed, stream.total_out);
	deflateEnd(&stream);
}

static inline void pack_xz(const uint8_t *elf, struct strbuf *out)
{
	uint8_t packed[ELF_BYTES + 1024];
	size_t length = 0;

	assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, elf, ELF_BYTES, packed,
						 &length, sizeof(packed)),
			 LZMA_OK);
	strbuf_add(out, packed, length);
	append_size(out);
}

static inline void pack_lzma(const uint8_t *elf, struct strbuf *out)
{
	uint8_t packed[ELF_BYTES + 1024];
	lzma_stream stream = LZMA_STREAM_INIT;
	lzma_options_lzma options;

	assert_false(lzma_lzma_preset(&options, 6));
	assert_int_equal(lzma_alone_encoder(&stream, &options), LZMA_OK);
	stream.next_in = elf;
	stream.avail_in = ELF_BYTES;
	stream.next_out = packed;
	stream.avail_out = sizeof(packed);
	assert_int_equal(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
	strbuf_add(out, packed, stream.total_out);
	lzma_end(&stream);
	append_size(out);
}

static inline void pack_bzip2(const uint8_t *elf, struct strbuf *out)
{
	char packed[ELF_BYTES + 1024];
	unsigned length = sizeof(packed);

	assert_int_equal(BZ2_bzBuffToBuffCompress(packed, &length, (char *)elf, ELF_BYTES, 9, 0, 0),
			 BZ_OK);
	strbuf_add(out, packed, length);
	append_size(out);
}

static inline void pack_zstd(const uint8_t *elf, struct strbuf *out)
{
	uint8_t packed[ELF_BYTES + 1024];
	size_t length = ZSTD_compress(packed, sizeof(packed), elf, ELF_BYTES, 3);

	assert_false(ZSTD_isError(length));
	strbuf_add(out, packed, length);
	append_size(out);
}

static inline void pack_lz4(const uint8_t *elf, struct strbuf *out)
{
	char packed[ELF_BYTES + 1024];

	strbuf_add(out, "\x02\x21\x4c\x18", 4);
	/* Two blocks, as of a kernel larger than 8 MiB. */
	for (size_t at = 0; at < ELF_BYTES; at += ELF_BYTES / 2) {
		uint32_t size = (uint32_t)LZ4_compress_default((const char *)elf + at, packed,
							       ELF_BYTES / 2, sizeof(packed));

		strbuf_add(out, &size, sizeof(size));
		strbuf_add(out, packed, size);
	}
	append_size(out);
}

static inline void pack_not(const uint8_t *elf, struct strbuf *out)
{
	strbuf_add(out, elf, ELF_BYTES);
}

static inline void put32(struct strbuf *out, size_t offset, uint32_t value)
{
	memcpy(out->data + offset, &value, sizeof(value));
}

static inline void make_bzimage(pack_fn *pack, const uint8_t *elf, struct strbuf *out)
{
	uint8_t setup[2 * 512 + PAYLOAD_OFFSET] = { 0 };

	setup[0x1f1] = 1;
	memcpy(setup + 0x202, "HdrS\x0f\x02", 6);
	strbuf_add(out, setup, sizeof(setup));
	pack(elf, out);
	put32(out, 0x248, PAYLOAD_OFFSET);
	put32(out, 0x24c, (uint32_t)(out->length - sizeof(setup)));
	strbuf_add(out, "trailer of the bzImage", 22);
}

/* zboot-header.S: the payload's length is without the size that is appended to it. */
static inline void make_zboot(pack_fn *pack, const uint8_t *image, struct strbuf *out)
{
	uint8_t header[ZBOOT_PAYLOAD] = "MZ\0\0zimg";

	strbuf_add(out, header, sizeof(header));
	pack(image, out);
	put32(out, 8, ZBOOT_PAYLOAD);
	put32(out, 12,
	      (uint32_t)(out->length - ZBOOT_PAYLOAD - (pack == pack_gzip ? 0 : sizeof(uint32_t))));
	strbuf_add(out, "trailer of the zboot image", 26);
}

#endif
