# SPDX-License-Identifier: Apache-2.0
# stoker. `make help` lists what there is; V=1 shows whole commands.

VERSION    := 0.1.0
prefix     ?= /usr/local
sbindir    ?= $(prefix)/sbin
bindir     ?= $(prefix)/bin
libexecdir ?= $(prefix)/lib/stoker
mandir     ?= $(prefix)/share/man
docdir     ?= $(prefix)/share/doc/stoker
sysconfdir ?= /etc
# Where units go, e.g. /etc/systemd/system; empty: nowhere.
systemdunitdir ?=

BUILD  ?= build
CC     ?= gcc
CLANG  ?= clang
MUSLCC ?= musl-gcc
PROVE  ?= prove

WARN := -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes -Wstrict-prototypes -Wswitch-enum \
	-Wformat=2 -Wundef -Wno-missing-field-initializers
ifeq ($(CI),true)
WARN += -Werror
endif
HARDEN ?= -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu17 $(WARN) $(HARDEN) -fno-common
CPPFLAGS += -D_GNU_SOURCE -Isupervisor -I. -I$(BUILD) -DSTOKER_VERSION='"$(VERSION)"' \
	-DSTOKER_LIBEXECDIR='"$(libexecdir)"' -DSTOKER_SYSCONFDIR='"$(sysconfdir)"' -MMD -MP
LDFLAGS += -pie -Wl,-z,relro,-z,now -Wl,--as-needed
LDLIBS  := -lyaml -linih -lev -ljansson -lmnl -lbpf -lext2fs -lcom_err -larchive -lsquashfs \
	-lcurl -lmicrohttpd -lisal -lzstd -llz4 -llzma -lbz2 -lz -lcrypto -lseccomp

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n' $(1) $(2)
endif

FOLDERS  := base model config plan loop host image disk net vmm guest forward instance control
# worker.c is the main file of stoker-image; all else in these folders is shared.
LIB_SRC  := $(filter-out supervisor/image/worker.c,$(wildcard $(FOLDERS:%=supervisor/%/*.c)))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB      := $(BUILD)/libstoker.a
PROGRAMS := $(BUILD)/stokerd $(BUILD)/stokerctl $(BUILD)/stoker-image $(BUILD)/stoker-init

STOKERD_OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(wildcard supervisor/*.c))
STOKERCTL_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard supervisor/ctl/*.c))
INIT_SRC      := $(wildcard guest-init/*.c)
INIT_OBJ      := $(INIT_SRC:guest-init/%.c=$(BUILD)/guest-init/%.o)

UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT     := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/tests/%)

.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:
.PHONY: all deps check check-unit check-system check-asan check-law check-format check-fuzz check-guard \
	check-kernel check-kernel-x86_64 check-kernel-aarch64 check-software check-host bench-boot bench-guard \
	bench-guest bench-image kernel fuzz demo install uninstall clean help

all: $(PROGRAMS)

help:
	@sed -n 's/^## //p' Makefile

## all           build every program into build/
## deps          install the Debian packages that building, testing and running need
## check         check-unit, then check-system
## check-unit    include law, format, unit and golden tests
## check-system  the tests that use network namespaces and boot guests (root); FIRECRACKER_DIR, a
##               directory with firecracker and jailer 1.16.1, proves the fakes of both honest
## check-asan    the unit and golden tests under AddressSanitizer and UBSan
## check-host    installs all of it in a Debian VM with systemd, cgroups and a KVM, and drives it
##               there (root); FIRECRACKER_DIR, a directory with firecracker and jailer: with both
## check-software  nginx, redis, a Python application, cron and a lone static binary, as Debian ships
##               them, in one fleet (root); their Debian is made once, in build-software/
## check-kernel  builds both guest kernels, boots the demo's fleet and arm64 guests with them (root);
##               check-kernel-x86_64 and check-kernel-aarch64 are its halves
## bench-boot    boot time with the distribution's kernel and with ours, by turns (root)
## bench-guard   which frames pass the guard and its rivals, a frame's processor time with each, the
##               program's paths, a VM's network against ip and tc, a thousand taps (root); ROUNDS=
## bench-guest   stoker-init's size, memory, speed and logs, against a busybox script, a bare port and
##               QEMU without stoker (root); BOOTS=20 ROUNDS=3
## bench-image   from a registry to a squashfs, against skopeo, umoci and two squashfs writers (root);
##               its images are made once, in build-bench/; ROUNDS=3
## fuzz          libFuzzer programs into build-fuzz/ (Debian: libclang-rt-14-dev)
## check-fuzz    runs each of them for FUZZ_SECONDS=60 from tests/fuzz/corpus
## check-guard   ten million frames through the guard and through a plain model of its rules, judged
##               alike, and two million while policies change, none of which meets a mixture (root);
##               FRAMES=10000000 SEED=
## demo          a two-tenant fleet from nothing to an HTTP answer; KEEP=1 leaves it running
## kernel        a small guest kernel in build-kernel/ARCH; ARCH=x86_64|aarch64, default: this one's
## install       into $(DESTDIR)$(prefix); uninstall takes it away again; with
##               systemdunitdir=/etc/systemd/system also the units
## clean         remove what was built, but for build-kernel/, build-bench/ and build-software/

deps:
	@./tests/deps.sh

# --- the programs ------------------------------------------------------------------------------

$(BUILD)/stokerd: $(STOKERD_OBJ) $(LIB)
$(BUILD)/stokerctl: $(STOKERCTL_OBJ) $(LIB)
$(BUILD)/stoker-image: $(BUILD)/supervisor/image/worker.o $(LIB)
$(BUILD)/stokerd $(BUILD)/stokerctl $(BUILD)/stoker-image:
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<


# --- the guard: BPF object, then its skeleton for net/guard*.c -----------------------------------

BPF_ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')

$(BUILD)/bpf/guard.bpf.o: bpf/guard.bpf.c $(wildcard bpf/*.h)
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -O2 -g -Wall -Wextra -Werror -target bpf -D__TARGET_ARCH_$(BPF_ARCH) \
		-idirafter /usr/include/$(shell uname -m)-linux-gnu -Ibpf -c -o $@ $<

$(BUILD)/guard.skel.h: $(BUILD)/bpf/guard.bpf.o
	$(call say,SKEL,$@)
	$(Q)PATH=$$PATH:/usr/sbin bpftool gen skeleton $< name guard_bpf > $@

$(BUILD)/supervisor/net/guard.o $(BUILD)/supervisor/net/guard_maps.o \
	$(BUILD)/supervisor/net/guard_attach.o: $(BUILD)/guard.skel.h

# --- stoker-init: static, small, the only program that runs inside a guest -------------------------

INIT_CFLAGS := -Os -std=gnu17 $(WARN) -fno-common -ffunction-sections -fdata-sections \
	-fno-asynchronous-unwind-tables -D_GNU_SOURCE -I. -MMD -MP \
	-idirafter /usr/include -idirafter /usr/include/$(shell uname -m)-linux-gnu

$(BUILD)/guest-init/%.o: guest-init/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(MUSLCC) $(INIT_CFLAGS) -c -o $@ $<

$(BUILD)/stoker-init: $(INIT_OBJ)
	$(call say,LD,$@)
	$(Q)$(MUSLCC) -static -s -Wl,--gc-sections -o $@ $^

# For guests of the other machine, where musl has no cross compiler in Debian.
CROSS_aarch64 ?= aarch64-linux-gnu-gcc

AARCH64 := $(patsubst %,$(BUILD)/aarch64/%,stoker-init vmm_guest kvm_init)

$(BUILD)/aarch64/stoker-init: $(INIT_SRC) $(wildcard guest-init/*.h)
$(BUILD)/aarch64/vmm_guest: tests/system/vmm_guest.c
$(BUILD)/aarch64/kvm_init: tests/system/kvm_init.c $(wildcard supervisor/host/tinyguest*.c) \
	$(patsubst %,supervisor/%.c,host/probe base/alloc base/error base/fs base/strbuf)
$(BUILD)/aarch64/%:
	$(call say,CROSS,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CROSS_aarch64) $(filter-out -MMD -MP -idirafter /usr/include%,$(INIT_CFLAGS)) \
		-Isupervisor -static -s -Wl,--gc-sections -o $@ $(filter %.c,$^)

# --- tests -------------------------------------------------------------------------------------

check: deps
	$(Q)$(MAKE) --no-print-directory check-unit
	$(Q)$(MAKE) --no-print-directory check-system

check-law:
	$(Q)perl tests/lint/include-law.pl

check-format:
	$(Q)tests/lint/format.sh

$(BUILD)/tests/test_%: $(BUILD)/tests/unit/test_%.o $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) -lcmocka $(LDLIBS)

# The guard's programs: they share frames and host with the unit tests.
GUARD_FUZZ := $(BUILD)/tests/guard_fuzz

$(GUARD_FUZZ): $(BUILD)/tests/bpf/guard_model.o
$(BUILD)/tests/guard_flips: $(BUILD)/tests/system/driver.o
$(BUILD)/tests/guard_%: $(BUILD)/tests/bpf/guard_%.o $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) -lcmocka $(LDLIBS)

$(BUILD)/tests/bench_%: $(BUILD)/tests/bench/%.o $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) -lcmocka $(LDLIBS)

# Firecracker's API as tables: the fake judges requests by them, and so do the driver's tests.
FC_SCHEMA_OBJ := $(patsubst %,$(BUILD)/tests/fakes/fc_%.o,schema table)

$(BUILD)/tests/test_fc_schema: $(BUILD)/tests/unit/test_fc_schema.o $(FC_SCHEMA_OBJ) $(LIB)
$(BUILD)/tests/test_fc_requests: $(BUILD)/tests/unit/test_fc_requests.o $(FC_SCHEMA_OBJ) $(LIB)

# Groups that its host need not have.
$(BUILD)/tests/test_access: override LDFLAGS += -Wl,--wrap=getgrnam

# A /dev/log and a journald of its own.
$(BUILD)/tests/test_forward: override LDFLAGS += -Wl,--wrap=connect

# Their control groups are files that behave as the kernel's: tests/unit/cgroup_tree.h.
$(patsubst %,$(BUILD)/tests/%,test_cgroup test_cgroup_parent): override LDFLAGS += \
	-Wl,--wrap=mkdir,--wrap=rmdir,--wrap=fs_write_value

# Tests that boot guests: the host's half links the library, the guest's half is static.
DRIVERS := $(patsubst tests/system/%.c,$(BUILD)/tests/%,$(wildcard tests/system/*_driver.c))
GUESTS  := $(patsubst tests/system/%.c,$(BUILD)/tests/%,$(wildcard tests/system/*_guest.c))
SYSTEM  := $(DRIVERS) $(GUESTS)

# Chapters of one driver are files of their own.
$(BUILD)/tests/net_driver: $(patsubst %,$(BUILD)/tests/system/net_%.o,scene hostile lawful keeping)
$(BUILD)/tests/guest_driver: $(BUILD)/tests/system/guest_vm.o
$(DRIVERS): $(BUILD)/tests/%: $(BUILD)/tests/system/%.o $(BUILD)/tests/system/driver.o $(LIB)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) $(LDLIBS)

$(GUESTS): $(BUILD)/tests/%: tests/system/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(MUSLCC) $(INIT_CFLAGS) -static -s -o $@ $<

# A firecracker and a jailer for tests. Static, for they run in a chroot. The guest's end of the
# channel is stoker-init's own, with vsock brought to the host's unix sockets (fc_guest.c).
FAKES         := $(BUILD)/tests/fakes/firecracker $(BUILD)/tests/fakes/jailer
FAKE_INIT_OBJ := $(patsubst %,$(BUILD)/tests/fakes/init-%.o,channel config failure ring sysfs)
FAKE_FC_OBJ   := $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/fakes/fc_*.c)) $(FAKE_INIT_OBJ)

$(BUILD)/tests/fakes/firecracker: FAKE_LDFLAGS := -Wl,--wrap=socket -Wl,--wrap=connect
$(BUILD)/tests/fakes/firecracker: $(BUILD)/tests/fakes/firecracker.o $(FAKE_FC_OBJ)
$(BUILD)/tests/fakes/jailer: $(BUILD)/tests/fakes/jailer.o $(BUILD)/tests/fakes/jailer_cgroup.o
$(FAKES): $(BUILD)/tests/fakes/args.o $(BUILD)/tests/fakes/os_error.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) -static $(FAKE_LDFLAGS) -o $@ $(filter %.o,$^) $(LIB) -ljansson

$(BUILD)/tests/fakes/init-%.o: guest-init/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

check-unit: all $(UNIT) check-law check-format
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) $(PROVE) -Q --exec tests/run-one \
		$(UNIT) $(wildcard tests/golden/*.t tests/lint/*.t)

# They wait more than they work. So one half of them, each after the other, runs beside the other half,
# which takes about as long; what would get in each other's way, by the same uids, is in the same half.
BESIDE  := $(patsubst %,tests/system/%.t,firecracker clock reasons pause health memory image-crash vmm-limits \
	vmm-qemu arm64-qemu arm64-kvm)
comma   := ,
space   := $(subst ,, )

check-system: all $(UNIT) $(SYSTEM) $(FAKES) $(GUARD_FUZZ) $(BUILD)/tests/bench_guard_leaks $(AARCH64)
	$(Q)$(MAKE) --no-print-directory $(ASAN) build-asan/stokerd build-asan/stoker-image
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) STOKER_ASAN_BUILD=$(abspath build-asan) $(PROVE) -f -o --timer \
		-j 2 --rules='seq={$(subst $(space),$(comma),$(strip $(BESIDE)))}' --rules='seq=**' \
		$(wildcard tests/bpf/*.t tests/system/*.t)

ASAN := BUILD=build-asan HARDEN=-fPIE CFLAGS="-O1 -g -fsanitize=address,undefined \
	-fno-omit-frame-pointer -fno-sanitize-recover=undefined"

check-asan:
	$(Q)$(MAKE) --no-print-directory check-unit $(ASAN)

# Clang's runtime is a package of its own, named after the compiler's version.
CLANG_RUNTIME = libclang-rt-$(shell $(CLANG) -dumpversion 2>/dev/null | sed 's/[.].*//')-dev

$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(LIB)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

# The guest's end: stoker-init's own code, but for what starts programs.
FUZZ_INIT_OBJ := $(patsubst %,$(BUILD)/tests/fakes/init-%.o,channel clock config exec failure health probe \
	ring sysfs)
$(BUILD)/fuzz_session: $(FUZZ_INIT_OBJ)

fuzz:
	@printf 'int LLVMFuzzerTestOneInput(const void *b, unsigned long n) { return b && !n; }\n' | \
		$(CLANG) -fsanitize=fuzzer,address -x c -o /dev/null - 2>/dev/null || \
		{ echo "make fuzz: $(CLANG) has no libFuzzer (apt-get install $(CLANG_RUNTIME))" >&2; \
		exit 1; }
	$(Q)$(MAKE) --no-print-directory BUILD=build-fuzz CC=$(CLANG) HARDEN=-fPIE \
		CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" \
		$(patsubst tests/fuzz/%.c,build-fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

# The runtime's name needs the compiler's version, so the compiler comes first.
FUZZ_SECONDS ?= 60

check-fuzz: deps
	$(Q)tests/deps.sh $(CLANG_RUNTIME)
	$(Q)$(MAKE) --no-print-directory fuzz
	$(Q)tests/fuzz/run.sh build-fuzz $(FUZZ_SECONDS)
	$(Q)$(MAKE) --no-print-directory check-guard

check-guard: $(GUARD_FUZZ) $(BUILD)/tests/guard_flips
	$(Q)FRAMES=$(or $(FRAMES),10000000) SEED=$(SEED) $(GUARD_FUZZ)
	$(Q)$(BUILD)/tests/guard_flips

demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) KEEP=$(KEEP) tests/demo.sh

# --- guest kernels: the fragments, the script and what it all means lie in config-examples/kernel ---

ARCH ?= $(shell uname -m)
KERNEL_x86_64  := build-kernel/x86_64/vmlinux
KERNEL_aarch64 := build-kernel/aarch64/Image

kernel:
	$(Q)config-examples/kernel/build.sh $(ARCH) build-kernel

$(KERNEL_x86_64) $(KERNEL_aarch64): build-kernel/%: $(wildcard config-examples/kernel/*)
	$(Q)config-examples/kernel/build.sh $(patsubst %/,%,$(dir $*)) build-kernel

check-kernel:
	$(Q)$(MAKE) --no-print-directory check-kernel-x86_64
	$(Q)$(MAKE) --no-print-directory check-kernel-aarch64

check-kernel-x86_64: all $(SYSTEM) $(KERNEL_x86_64)
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) STOKER_KERNEL=$(abspath $(KERNEL_x86_64)) tests/demo.sh
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) STOKER_KERNEL=$(abspath $(KERNEL_x86_64)) \
		GUEST_KERNEL=$(abspath $(KERNEL_x86_64)) $(PROVE) -f -o tests/kernel/guest.t tests/system/guest-boot.t

check-kernel-aarch64: all $(SYSTEM) $(AARCH64) $(KERNEL_aarch64)
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) GUEST_KERNEL=$(abspath $(KERNEL_aarch64)) \
		$(PROVE) -f -o tests/system/arm64-guest.t

check-software: all
	$(Q)tests/deps.sh mmdebstrap busybox-static curl e2fsprogs
	$(Q)tests/software/debian.sh build-software
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) SOFTWARE=$(abspath build-software) $(PROVE) -f -o tests/software/software.t

# The packages of the outer host are its own; those of building are deps'.
check-host: all
	$(Q)tests/deps.sh mmdebstrap qemu-system-x86 e2fsprogs busybox-static
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) FIRECRACKER_DIR=$(FIRECRACKER_DIR) $(PROVE) -f -o tests/host/host.t

bench-boot: all $(KERNEL_x86_64)
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) tests/bench/boot.sh $(KERNEL_x86_64)

GUARD_BENCH := $(patsubst %,$(BUILD)/tests/bench_guard_%,leaks traffic setup)

bench-guard: $(GUARD_BENCH)
	$(Q)tests/deps.sh ebtables nftables iproute2
	$(Q)$(BUILD)/tests/bench_guard_leaks
	$(Q)$(BUILD)/tests/bench_guard_traffic
	$(Q)$(BUILD)/tests/bench_guard_setup

$(BUILD)/tests/bench_guest: tests/bench/guest.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(MUSLCC) $(INIT_CFLAGS) -static -s -o $@ $<

bench-guest: all $(BUILD)/tests/bench_guest
	$(Q)tests/deps.sh busybox-static cpio e2fsprogs iproute2 qemu-system-x86
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) tests/bench/guest.sh

# What it measures with and no test needs; the images are Debian's packages.
BENCH_IMAGE_DEPS := skopeo umoci squashfs-tools squashfs-tools-ng docker-registry mmdebstrap \
	busybox-static curl zstd time iproute2 attr

bench-image: all
	$(Q)tests/deps.sh $(BENCH_IMAGE_DEPS)
	$(Q)tests/bench/image-make.sh build-bench
	$(Q)STOKER_BUILD=$(abspath $(BUILD)) perl tests/bench/image.pl $(abspath build-bench)

# --- installing --------------------------------------------------------------------------------

install: all
	install -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) $(DESTDIR)$(libexecdir) \
		$(DESTDIR)$(mandir)/man5 $(DESTDIR)$(mandir)/man8 $(DESTDIR)$(docdir)/examples
	install -d -m 0755 $(DESTDIR)$(sysconfdir)/stoker $(DESTDIR)$(sysconfdir)/stoker/fleet.d
	install -m 0755 $(BUILD)/stokerd $(DESTDIR)$(sbindir)
	install -m 0755 $(BUILD)/stokerctl $(DESTDIR)$(bindir)
	install -m 0755 $(BUILD)/stoker-image $(BUILD)/stoker-init $(DESTDIR)$(libexecdir)
	install -m 0644 $(wildcard man/*.5) $(DESTDIR)$(mandir)/man5
	install -m 0644 $(wildcard man/*.8) $(DESTDIR)$(mandir)/man8
	cp -r config-examples/. $(DESTDIR)$(docdir)/examples/
	install -m 0644 README.md $(DESTDIR)$(docdir)
	$(if $(systemdunitdir),$(install_units))

# With the paths of this installation.
UNITS := $(notdir $(wildcard config-examples/systemd/*.service))
install_units = install -d $(DESTDIR)$(systemdunitdir) && for unit in $(UNITS); do \
	sed 's|/usr/local/sbin|$(sbindir)|; s|/usr/local/bin|$(bindir)|' \
		config-examples/systemd/$$unit >$(DESTDIR)$(systemdunitdir)/$$unit && \
	chmod 0644 $(DESTDIR)$(systemdunitdir)/$$unit || exit 1; done && \
	install -D -m 0644 -t $(DESTDIR)$(systemdlinkdir) $(LINKS)

# What udev is told about taps: beside the directory of units, as systemd has it.
LINKS := $(wildcard config-examples/systemd/*.link)
systemdlinkdir = $(patsubst %/system,%/network,$(systemdunitdir))

uninstall:
	$(if $(systemdunitdir),rm -f $(UNITS:%=$(DESTDIR)$(systemdunitdir)/%) \
		$(patsubst config-examples/systemd/%,$(DESTDIR)$(systemdlinkdir)/%,$(LINKS)))
	rm -f $(DESTDIR)$(sbindir)/stokerd $(DESTDIR)$(bindir)/stokerctl
	rm -rf $(DESTDIR)$(libexecdir) $(DESTDIR)$(docdir)
	rm -f $(patsubst man/%,$(DESTDIR)$(mandir)/man5/%,$(wildcard man/*.5))
	rm -f $(patsubst man/%,$(DESTDIR)$(mandir)/man8/%,$(wildcard man/*.8))

clean:
	rm -rf build build-asan build-fuzz

-include $(shell find $(BUILD) -name '*.d' -type f 2>/dev/null)
