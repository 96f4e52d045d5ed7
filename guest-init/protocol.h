/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words between host and guest: the only file shared by supervisor/ and guest-init/.
 *
 * 1. Configuration: a file of entries in the initramfs. /stoker/image is what the image says,
 * written by stoker-image; /stoker/config is what the manifest says, written by the daemon.
 * stoker-init reads both; the manifest wins. Modules have a file of their own, /stoker/modules.
 * 2. The channel: frames over virtserialport "stoker.0" (QEMU) or vsock (Firecracker).
 *
 * All integers are little-endian.
 */
#ifndef STOKER_GUEST_INIT_PROTOCOL_H
#define STOKER_GUEST_INIT_PROTOCOL_H

#include <stdint.h>

/* An entry of a configuration file: this header, then `length` bytes. Text has no NUL inside and is
 * not terminated. Lists are repeated entries, in order. An unknown tag is an error: both sides are
 * one installation. */
struct config_entry {
	uint32_t tag;
	uint32_t length;
} __attribute__((packed));

enum {
	CONFIG_ENTRY_MAX = 1 << 20,
	CONFIG_FILE_MAX = 8 << 20,
};

enum config_tag {
	/* In both files. */
	CONFIG_ENTRYPOINT = 1, /* one word; the list replaces the image's */
	CONFIG_COMMAND,	       /* one word; likewise */
	CONFIG_ENVIRONMENT,    /* "KEY=value"; merged by key, the manifest's win */
	CONFIG_USER,	       /* "name", "uid", "name:group", "uid:gid": resolved in the image */
	CONFIG_WORKING_DIR,    /* absolute; created when missing */
	CONFIG_STOP_SIGNAL,    /* "SIGTERM", "TERM" or a number */

	/* Only in the image's. */
	CONFIG_VERITY = 16, /* its hash tree, as a dm-verity table has it behind the block sizes:
			       "BLOCKS HASH-START sha256 ROOT SALT" */
	CONFIG_VOLUME_PATH, /* a directory, created when missing; writable even if the root is not
			     */

	/* Only in the manifest's. */
	CONFIG_HAS_ENTRYPOINT = 32, /* empty: the list (even an empty one) replaces the image's,
				       and the image's command is dropped, as Compose does */
	CONFIG_HAS_COMMAND,	    /* empty: the list (even an empty one) replaces the image's */
	CONFIG_HOSTNAME,
	CONFIG_ADDRESS,	    /* "10.20.0.10" or "fd00:20::a": /32 or /128 on eth0 */
	CONFIG_GATEWAY,	    /* "169.254.1.1" or "fe80::1": on link, default route */
	CONFIG_GATEWAY_MAC, /* 6 bytes: permanent neighbour entry for the gateways */
	CONFIG_HOSTS,	    /* a line for /etc/hosts, for good */
	CONFIG_DNS,	    /* an address for /etc/resolv.conf */
	CONFIG_TMPFS,	    /* a mount point */
	CONFIG_READ_ONLY,   /* empty: the workload's root is read-only */
	CONFIG_PEERS,	    /* lines for /etc/hosts, until FRAME_HOSTS replaces them */
	CONFIG_DISK,	    /* "base": of a VMM that sets no serials, the disks in their order */
	CONFIG_CHANNEL_KEY, /* CHANNEL_KEY_SIZE random bytes, of this VM alone: see FRAME_HELLO */
	CONFIG_VERIFY,	    /* empty: the base disk is to be checked by the image's hash tree */

	CONFIG_FILE,   /* struct config_file_entry: anywhere */
	CONFIG_SECRET, /* likewise; its path is a name in /run/secrets, a tmpfs */
	CONFIG_ULIMIT, /* "nofile=1024:4096": soft and hard, -1 = unlimited */
	CONFIG_SYSCTL, /* "net.core.somaxconn=1024" */
	CONFIG_VOLUME, /* "volume0\tdata\trw\t/srv": its disk's serial, name, "ro" or "rw", place */

	/* Only in /stoker/modules, which lies beside the modules in the cached segment. */
	CONFIG_MODULE = 64, /* a path in the initramfs, in the order to load */
};

/* CONFIG_FILE, CONFIG_SECRET: this header, then path, user and content. */
struct config_file_entry {
	uint32_t mode;	      /* at most 0777 */
	uint16_t path_length; /* at least 1 */
	uint16_t user_length; /* as CONFIG_USER; 0: root, of a secret: whom the workload runs as */
} __attribute__((packed));

/*
 * The channel. Both directions carry frames: this header, then `length` bytes.
 *
 * A byte stream that outlives one of its ends (QEMU keeps the port while the daemon is restarted)
 * may begin in the middle of a frame. So the host speaks first, on every connection: FRAME_GREET
 * with a nonce of its own, again each second until it is answered. The guest drops whatever it was
 * receiving or sending when it finds a greeting with a new nonce, answers FRAME_HELLO with that
 * nonce, and repeats from its start the frame it had been sending. The host skips everything before
 * that hello. The guest sends nothing on a connection before it has been greeted.
 *
 * Over vsock every process of the guest can connect. So the hello carries the key that the host put
 * into this VM's configuration, which nobody but stoker-init has seen.
 *
 * Logs have places: the bytes of all log frames, headers included, are counted from the start of
 * the guest. FRAME_LOG_SEEN says up to which place the host has them, and is both an
 * acknowledgement and a credit: the guest keeps what was not seen, sends it again to the next
 * connection, and sends no more than LOG_WINDOW beyond what was seen.
 */
struct frame_header {
	uint32_t length; /* of what follows, at most FRAME_PAYLOAD_MAX */
	uint16_t type;
	uint16_t stream; /* FRAME_LOG: enum log_stream; FRAME_EXEC...: the session; else 0 */
} __attribute__((packed));

enum {
	FRAME_PAYLOAD_MAX = 64 << 10,
	FRAME_MESSAGE_MAX = 200,
	CHANNEL_VERSION = 7,
	CHANNEL_KEY_SIZE = 32,
	LOG_WINDOW = 256 << 10,	   /* bytes of log frames */
	CHANNEL_VSOCK_PORT = 1024, /* of the host, CID 2 */
};

#define CHANNEL_PORT_NAME "stoker.0"

/* Begins a greeting and a hello; 16 bytes that no text contains. */
#define CHANNEL_MAGIC "\xf5stoker\0channel\xfa"

enum frame_type {
	/* Host to guest. */
	FRAME_GREET = 1,   /* struct frame_greet */
	FRAME_STOP,	   /* struct frame_stop */
	FRAME_HOSTS,	   /* lines for /etc/hosts instead of CONFIG_PEERS */
	FRAME_EXIT_SEEN,   /* empty: the exit report is in good hands, power off */
	FRAME_PING,	   /* empty: say something */
	FRAME_LOG_SEEN,	   /* struct frame_log_seen */
	FRAME_EXEC,	   /* struct frame_exec, then entries: what and as whom */
	FRAME_EXEC_INPUT,  /* bytes of its standard input; empty: the end of it */
	FRAME_EXEC_CREDIT, /* struct frame_credit: it may say so much more */
	FRAME_EXEC_SIGNAL, /* struct frame_signal */
	FRAME_EXEC_RESIZE, /* struct frame_size */
	FRAME_EXEC_KILL,   /* empty: whoever asked for it is gone */
	FRAME_HEALTH,	   /* struct frame_health, then entries: the check from now on */
	FRAME_HEALTH_SEEN, /* empty: another result may be told */
	FRAME_CLOCK,	   /* struct frame_clock: the answer, or asked_ns 0: ask now */
	FRAME_STATS_ASK,   /* empty: FRAME_STATS is wanted; not again before it came */

	/* Guest to host. */
	FRAME_HELLO = 64,  /* struct frame_hello */
	FRAME_LOG,	   /* bytes of a stream */
	FRAME_EXIT,	   /* struct frame_exit; comes after all logs */
	FRAME_PONG,	   /* empty: the answer, when there is nothing else to say */
	FRAME_EXEC_STDOUT, /* bytes, as much as it has credit for */
	FRAME_EXEC_STDERR,
	FRAME_EXEC_ROOM,     /* struct frame_credit: so much of its input was taken */
	FRAME_EXEC_END,	     /* struct frame_exit: after all it said. It was detached: it runs */
	FRAME_HEALTH_RESULT, /* struct frame_health_result */
	FRAME_CLOCK_ASK,     /* struct frame_clock: what time is it? */
	FRAME_STATS,	     /* struct frame_stats */
};

enum log_stream {
	STREAM_STDOUT,
	STREAM_STDERR,
	STREAM_KERNEL,
	STREAM_SYSLOG,
	STREAM_INIT,
	STREAM_COUNT
};

struct frame_greet {
	uint8_t magic[16];
	uint8_t nonce[8];
	uint32_t version;  /* CHANNEL_VERSION */
	uint64_t log_seen; /* place; 0: that host does not know */
} __attribute__((packed));

struct frame_hello {
	uint8_t magic[16];
	uint8_t nonce[8];
	uint32_t version;
	uint32_t running;   /* 1: the workload runs; 0: it ended or never started */
	uint64_t init_us;   /* CLOCK_BOOTTIME when the kernel had handed over to stoker-init */
	uint64_t boot_us;   /* CLOCK_BOOTTIME when the workload was executed; 0: it was not */
	uint64_t log_place; /* of the first log frame that follows */
	uint8_t key[CHANNEL_KEY_SIZE];
} __attribute__((packed));

/*
 * Sessions: programs that an operator starts beside the workload. The host numbers them, and a
 * number is free again after FRAME_EXEC_END. Entries are CONFIG_COMMAND, CONFIG_ENVIRONMENT,
 * CONFIG_USER and CONFIG_WORKING_DIR; what is not given is the workload's. Both directions have
 * credit of their own, which begins with EXEC_WINDOW bytes. With the connection, its sessions end.
 */
enum { EXEC_SESSIONS_MAX = 16, EXEC_WINDOW = 32 << 10 };

enum exec_flag {
	EXEC_TTY = 1,	   /* a terminal; all it says is FRAME_EXEC_STDOUT */
	EXEC_INPUT = 2,	   /* without it, the standard input is empty */
	EXEC_DETACHED = 4, /* it outlives the session, what it says goes to the log */
};

struct frame_size {
	uint16_t rows, columns;
} __attribute__((packed));

struct frame_exec {
	uint32_t flags;		/* enum exec_flag */
	struct frame_size size; /* of the terminal */
} __attribute__((packed));

struct frame_credit {
	uint32_t bytes;
} __attribute__((packed));

struct frame_signal {
	uint32_t number;
} __attribute__((packed));

/*
 * The health check, which the guest runs by itself. The host says what to check on every connection
 * and when that has changed; entries are CONFIG_COMMAND: the path of HEALTH_HTTP, the words of
 * HEALTH_EXEC. The guest answers with what it knows of that check, then with each result, but never
 * before the one before was seen: what comes meanwhile replaces what waits.
 */
enum health_kind { HEALTH_OFF, HEALTH_TCP, HEALTH_HTTP, HEALTH_EXEC };

struct frame_health {
	uint32_t serial; /* of the definition; results carry it */
	uint32_t kind;	 /* enum health_kind */
	uint32_t port;	 /* of HEALTH_TCP and HEALTH_HTTP */
	uint32_t interval_ms;
	uint32_t timeout_ms;
	uint32_t start_period_ms; /* from the workload's start: failures do not count yet */
} __attribute__((packed));

struct frame_health_result {
	uint32_t serial;
	uint32_t successes;		 /* 1: it has succeeded once; 0: not yet */
	uint32_t failures;		 /* in a row, that count */
	char message[FRAME_MESSAGE_MAX]; /* NUL-padded; what the last check found */
} __attribute__((packed));

struct frame_clock {
	uint64_t asked_ns; /* CLOCK_MONOTONIC of the guest when it asked, in both directions */
	uint64_t time_ns;  /* of the host: CLOCK_REALTIME */
} __attribute__((packed));

/* How the guest is doing, as it sees itself. */
struct frame_stats {
	uint64_t uptime_ms;
	uint64_t memory_total, memory_available; /* bytes */
	uint64_t load_1, load_5, load_15;	 /* hundredths; over so many minutes */
	uint64_t tasks;				 /* threads, the kernel's own among them */
	uint64_t disk_total, disk_used;		 /* bytes; of the root's writable layer */
	/* Of the last ten seconds, in hundredths of a percent: in how many some task waited. */
	uint64_t pressure_cpu, pressure_memory, pressure_io;
} __attribute__((packed));

#define STATS_UNKNOWN UINT64_MAX /* a pressure that the guest's kernel does not measure */

struct frame_log_seen {
	uint64_t place; /* the end of a log frame */
} __attribute__((packed));

struct frame_stop {
	uint32_t signal; /* 0: the image's */
	uint32_t reserved;
	uint64_t grace_ms; /* then SIGKILL */
} __attribute__((packed));

enum exit_kind {
	EXIT_CODE = 1,
	EXIT_SIGNAL,
	EXIT_OOM,	 /* SIGKILL, by the guest's kernel; message: whom it killed last */
	EXIT_INIT_ERROR, /* 0; message: what failed */
	EXIT_DAEMONISED, /* 0, but processes are left; message: how many and which */
};

struct frame_exit {
	uint32_t kind;			 /* enum exit_kind */
	int32_t code;			 /* exit code or signal number */
	char message[FRAME_MESSAGE_MAX]; /* NUL-padded */
} __attribute__((packed));

#endif
