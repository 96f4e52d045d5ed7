/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process could do if a stranger's bytes had taken it over, for
 * tests/system/image-confine.t: intrude_driver OUT NAME ATTEMPT... -- COMMAND... runs the command
 * under ptrace(2) and waits until a process called NAME has loaded its system call filter. Then, in
 * the place of that process's next system call, come the attempts, one after the other; the kernel
 * judges them like any call of its own (the filter runs after the tracer). If it lives on, it goes
 * on as if nothing had been. To the file OUT: who the process is, and of each attempt "done", the
 * error's name, or the signal that it ended by. Returns the command's status. With the one argument
 * "landlock" it prints whether this kernel has that: "yes" or "no".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __x86_64__

enum { NAME_MAX_BYTES = 16, TASKS_MAX = 256, CACHE_FD = 4 };

/* A descriptor below 0 is AT_FDCWD. TEXT and OTHER stand for the addresses of what follows the
 * attempt's colon, and what follows a comma in that. */
#define TEXT  0x7e57
#define OTHER 0x07e4

static const struct attempt {
	const char *name;
	long number;
	uint64_t arguments[6];
} attempts[] = {
	{ "read", SYS_openat, { (uint64_t)AT_FDCWD, TEXT, O_RDONLY } },
	{ "create", SYS_openat, { (uint64_t)AT_FDCWD, TEXT, O_WRONLY | O_CREAT, 0600 } },
	{ "create-in-cache", SYS_openat, { CACHE_FD, TEXT, O_WRONLY | O_CREAT, 0600 } },
	{ "append", SYS_openat, { (uint64_t)AT_FDCWD, TEXT, O_WRONLY | O_APPEND } },
	{ "open", SYS_open, { TEXT, O_RDONLY } },
	{ "mkdir", SYS_mkdirat, { (uint64_t)AT_FDCWD, TEXT, 0700 } },
	{ "unlink", SYS_unlinkat, { (uint64_t)AT_FDCWD, TEXT, 0 } },
	{ "rename", SYS_renameat, { (uint64_t)AT_FDCWD, TEXT, (uint64_t)AT_FDCWD, OTHER } },
	{ "link", SYS_linkat, { (uint64_t)AT_FDCWD, TEXT, (uint64_t)AT_FDCWD, OTHER } },
	{ "symlink", SYS_symlinkat, { TEXT, CACHE_FD, OTHER } },
	{ "truncate", SYS_truncate, { TEXT, 0 } },
	{ "chmod", SYS_fchmodat, { (uint64_t)AT_FDCWD, TEXT, 0777 } },
	{ "tcp", SYS_socket, { AF_INET, SOCK_STREAM } },
	{ "udp6", SYS_socket, { AF_INET6, SOCK_DGRAM } },
	{ "unix", SYS_socket, { AF_UNIX, SOCK_STREAM } },
	{ "packet", SYS_socket, { AF_PACKET, SOCK_RAW } },
	{ "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, TEXT } },
	{ "execute", SYS_execve, { TEXT, 0, 0 } },
	{ "fork", SYS_fork, { 0 } },
	{ "setuid", SYS_setuid, { 0 } },
	{ "ptrace", SYS_ptrace, { PTRACE_ATTACH, 1 } },
	{ "mount", SYS_mount, { TEXT, TEXT, TEXT } },
	{ "unshare", SYS_unshare, { CLONE_NEWUSER } },
	{ "io_uring", SYS_io_uring_setup, { 1, TEXT } },
	{ "code",
	  SYS_mmap,
	  { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, (uint64_t)-1 } },
};

/* What is known of a traced thread. */
struct task {
	pid_t tid;		       /* 0: a free place */
	bool is_loading;	       /* in seccomp(2) */
	bool is_target;		       /* confined, and of that name */
	const struct attempt *pending; /* was put in the place of its own call */
	int64_t result;
	struct user_regs_struct own; /* its registers before that */
};

static struct task tasks[TASKS_MAX];
static FILE *out;
static char **next_attempt; /* ends with "--" */
static const char *target_name;
static bool is_target_known;

static void die(const char *what)
{
	fprintf(stderr, "intrude_driver: %s: %s\n", what, strerror(errno));
	exit(125);
}

static struct task *task_of(pid_t tid, bool *ret_is_new)
{
	struct task *place = NULL;

	*ret_is_new = false;
	for (size_t i = 0; i < TASKS_MAX; i++) {
		if (tasks[i].tid == tid)
			return &tasks[i];
		if (tasks[i].tid == 0 && !place)
			place = &tasks[i];
	}
	if (!place)
		die("too many threads");
	*ret_is_new = true;
	*place = (struct task){ .tid = tid };
	return place;
}

/* --- the attempts ----------------------------------------------------------------------------- */

static const struct attempt *find_attempt(const char *text)
{
	size_t length = strcspn(text, ":");

	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		if (strlen(attempts[i].name) == length &&
		    strncmp(attempts[i].name, text, length) == 0)
			return &attempts[i];
	errno = EINVAL;
	die(text);
	return NULL;
}

/* Below the part of the stack that the ABI lets a function use without saying so. */
static uint64_t put_text(const struct task *task, const char *text, uint64_t at)
{
	size_t length = strlen(text) + 1;

	for (size_t i = 0; i < length; i += sizeof(long)) {
		long word = 0;

		memcpy(&word, text + i, length - i < sizeof(word) ? length - i : sizeof(word));
		if (ptrace(PTRACE_POKEDATA, task->tid, (void *)(at + i), (void *)word) < 0)
			die("POKEDATA");
	}
	return at;
}

static uint64_t argument(const struct task *task, uint64_t value, const char *text)
{
	const char *rest = text[strcspn(text, ":")] ? strchr(text, ':') + 1 : "";
	char first[256];

	if (value != TEXT && value != OTHER)
		return value;
	snprintf(first, sizeof(first), "%.*s", (int)strcspn(rest, ","), rest);
	if (value == TEXT)
		return put_text(task, first, task->own.rsp - 512);
	return put_text(task, strchr(rest, ',') ? strchr(rest, ',') + 1 : "", task->own.rsp - 1024);
}

/* At the entry of one of its own calls. */
static void try_next(struct task *task)
{
	const char *text = *next_attempt;
	const struct attempt *attempt = find_attempt(text);
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, task->tid, NULL, &task->own) < 0)
		die("GETREGS");
	regs = task->own;
	regs.orig_rax = (unsigned long long)attempt->number;
	regs.rdi = argument(task, attempt->arguments[0], text);
	regs.rsi = argument(task, attempt->arguments[1], text);
	regs.rdx = argument(task, attempt->arguments[2], text);
	regs.r10 = argument(task, attempt->arguments[3], text);
	regs.r8 = attempt->arguments[4];
	regs.r9 = attempt->arguments[5];
	if (ptrace(PTRACE_SETREGS, task->tid, NULL, &regs) < 0)
		die("SETREGS");
	task->pending = attempt;
}

/* At its exit: makes the process enter its own call again. One that the filter kills gets this far
 * too, with a result that means nothing. */
static void put_back(struct task *task, int64_t result)
{
	struct user_regs_struct regs = task->own;

	regs.rip -= 2; /* the length of the instruction `syscall` */
	regs.rax = regs.orig_rax;
	if (ptrace(PTRACE_SETREGS, task->tid, NULL, &regs) < 0)
		die("SETREGS");
	task->result = result;
}

static void tell(struct task *task, const char *outcome)
{
	fprintf(out, "%s: %s\n", *next_attempt++, outcome);
	task->pending = NULL;
}

/* --- whose turn it is --------------------------------------------------------------------------
 */

static bool has_name(pid_t tid)
{
	char path[64], name[NAME_MAX_BYTES + 2] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
	file = fopen(path, "re");
	if (!file || !fgets(name, sizeof(name), file))
		name[0] = '\0';
	if (file)
		fclose(file);
	name[strcspn(name, "\n")] = '\0';
	return strcmp(name, target_name) == 0;
}

static void tell_identity(pid_t tid)
{
	static const char *const wanted[] = { "Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:" };
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
			if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
				fputs(line, out);
	if (file)
		fclose(file);
}

static void on_syscall(struct task *task)
{
	struct __ptrace_syscall_info info = { 0 };

	if (ptrace(PTRACE_GET_SYSCALL_INFO, task->tid, sizeof(info), &info) < 0)
		return; /* it was killed meanwhile */
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		task->is_loading = info.entry.nr == SYS_seccomp &&
				   info.entry.args[0] == SECCOMP_SET_MODE_FILTER;
		if (task->pending)
			tell(task, task->result < 0 ? strerrorname_np((int)-task->result) : "done");
		if (task->is_target && strcmp(*next_attempt, "--") != 0)
			try_next(task);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && task->pending) {
		put_back(task, info.exit.rval);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && task->is_loading && info.exit.rval == 0 &&
		   !is_target_known && has_name(task->tid)) {
		task->is_target = is_target_known = true;
		tell_identity(task->tid);
	}
}

static void on_end(struct task *task, int status)
{
	char name[16];

	if (task->pending && WIFSIGNALED(status)) {
		snprintf(name, sizeof(name), "SIG%s", sigabbrev_np(WTERMSIG(status)));
		tell(task, name);
	}
	task->tid = 0;
}

static int trace(pid_t command)
{
	int result = 125, status;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		bool is_new;
		struct task *task = task_of(tid, &is_new);
		int signal = 0;

		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (tid == command)
				result = WIFEXITED(status) ? WEXITSTATUS(status)
							   : 128 + WTERMSIG(status);
			on_end(task, status);
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			on_syscall(task);
		else if (status >> 16 == 0 && !(is_new && WSTOPSIG(status) == SIGSTOP))
			signal = WSTOPSIG(status);
		ptrace(PTRACE_SYSCALL, tid, NULL, (void *)(intptr_t)signal);
	}
	return result;
}

int main(int argc, char **argv)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			     PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	char **command = argv + 3;
	int status;
	pid_t pid;

	if (argc == 2 && strcmp(argv[1], "landlock") == 0) {
		puts(syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0 ? "yes" : "no");
		return 0;
	}
	while (argc > 3 && *command && strcmp(*command, "--") != 0)
		command++;
	if (argc < 5 || !*command)
		return 2;
	out = fopen(argv[1], "we");
	if (!out)
		die(argv[1]);
	setlinebuf(out);
	target_name = argv[2];
	next_attempt = argv + 3;
	pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execvp(command[1], command + 1);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		die("fork");
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)options) < 0)
		die("SETOPTIONS");
	tasks[0].tid = pid;
	ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
	return trace(pid);
}

#else

int main(void)
{
	fprintf(stderr, "intrude_driver: knows the registers of x86_64 only\n");
	return 125;
}

#endif
