/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard.c attaches through this. Numbers and layouts are those of linux/bpf.h since 6.6; older
 * copies of that header lack them, so they stand here.
 */
#include "net/tcx.h"

#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	TCX_ATTACH_INGRESS = 46, /* BPF_TCX_INGRESS; egress follows */
	TCX_LINK_TYPE = 11,	 /* BPF_LINK_TYPE_TCX */
	TCX_AT_HEAD = 1 << 3,	 /* BPF_F_BEFORE without a relative: before all others */
};

struct tcx_create {
	uint32_t prog_fd;
	uint32_t ifindex;
	uint32_t type;
	uint32_t flags;
	uint32_t relative_fd;
	uint32_t padding;
	uint64_t expected_revision;
};

struct tcx_info {
	uint32_t type;
	uint32_t id;
	uint32_t prog_id;
	uint32_t padding;
	uint32_t ifindex;
	uint32_t attach_type;
	uint64_t room[8]; /* for what newer kernels append */
};

int tcx_attach(int program_fd, unsigned ifindex, enum tcx_side side)
{
	struct tcx_create create = {
		.prog_fd = (uint32_t)program_fd,
		.ifindex = ifindex,
		.type = (uint32_t)TCX_ATTACH_INGRESS + side,
		.flags = TCX_AT_HEAD,
	};

	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &create, sizeof(create));
}

bool tcx_is_attached(int link_fd, unsigned ifindex, enum tcx_side side)
{
	struct tcx_info info = { 0 };
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)link_fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uintptr_t)&info;
	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0)
		return false;
	return info.type == TCX_LINK_TYPE && info.ifindex == ifindex &&
	       info.attach_type == (uint32_t)TCX_ATTACH_INGRESS + side;
}
