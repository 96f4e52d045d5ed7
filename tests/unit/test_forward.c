/* SPDX-License-Identifier: Apache-2.0 */
/* forward/ over real sockets: a /dev/log, a journald, UDP and TCP; test_forward_tls has TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/unit/forward_host.h"

/* --- where the host's daemons would be ------------------------------------------------------- */

static char unix_path[100]; /* instead of /dev/log and journald's socket */

int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)address;
	struct sockaddr_un other = { .sun_family = AF_UNIX };

	if (un->sun_family != AF_UNIX || (strcmp(un->sun_path, "/dev/log") != 0 &&
					  strcmp(un->sun_path, "/run/systemd/journal/socket") != 0))
		return __real_connect(fd, address, length);
	strcpy(other.sun_path, unix_path);
	return __real_connect(fd, (struct sockaddr *)&other, sizeof(other));
}

static int listen_here(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, unix_path);
	unlink(unix_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int listen_inet(int type, int *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	int small = 4096; /* a target that does not read is soon full */

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)*ret_port);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static struct strbuf received; /* and not taken yet */

static int set_up(void **state)
{
	int result = setup(state);
	const struct fixture *f = *state;

	snprintf(unix_path, sizeof(unix_path), "%s/socket", f->dir);
	return result;
}

static int tear_down(void **state)
{
	strbuf_reset(&received);
	return teardown(state);
}

/* What came until `wanted` is in it; of datagrams, the one that has it. */
static const char *await(struct fixture *f, int fd, const char *wanted)
{
	static char bytes[65536];
	uint64_t until_ms = loop_now_ms() + WAIT_MS;
	socklen_t length = sizeof(int);
	int type = 0;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length), 0);
	while (!strstr(strbuf_text(&received), wanted)) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n > 0 && type == SOCK_DGRAM)
			strbuf_reset(&received);
		if (n > 0)
			strbuf_add(&received, bytes, (size_t)n);
		if (n == 0)
			fail_msg("closed without '%s'", wanted);
		if (loop_now_ms() > until_ms)
			fail_msg("no '%s' in: %s", wanted, strbuf_text(&received));
		if (n < 0)
			turn(f);
	}
	return strbuf_text(&received);
}

static int await_client(struct fixture *f, int listener)
{
	uint64_t until_ms = loop_now_ms() + WAIT_MS;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0) {
		assert_true(loop_now_ms() < until_ms);
		turn(f);
	}
	strbuf_reset(&received);
	return fd;
}

/* --- the host's own -------------------------------------------------------------------------- */

static void test_off(void **state)
{
	struct fixture *f = *state;

	open_to(f, "off", 0);
	assert_null(f->forward);
	say(f, "acme/web", "stdout", "for nobody");
	forward_reopen(f->forward);
}

/* Down at first, there, full, gone, and there again: nothing is lost meanwhile. */
static void test_syslog(void **state)
{
	struct fixture *f = *state;
	int fd;

	open_to(f, "syslog", 0);
	say(f, "acme/web", "stdout", "early");
	await_logged(f, "[log] forward = syslog: /dev/log: cannot connect: No such file");
	assert_false(counts(f).is_up);
	fd = listen_here();
	assert_non_null(strstr(await(f, fd, "early"), " acme/web: early"));
	assert_memory_equal(received.data, "<30>Nov ", 8);
	await_logged(f, "syslog: takes lines again");
	assert_true(counts(f).is_up);
	/* More than a unix socket queues (net.unix.max_dgram_qlen). */
	for (int i = 0; i < 3000; i++)
		say(f, "acme/web", "stderr", i == 2999 ? "the last" : "one of many");
	assert_true(counts(f).lines < 3001);
	await(f, fd, "the last");
	assert_int_equal(counts(f).lines, 3001);
	close(fd);
	say(f, "acme/db.2", "syslog", "cron.info crond[7]: late");
	await_logged(f, "[log] forward = syslog: /dev/log: cannot send: Connection refused");
	fd = listen_here();
	await(f, fd, "<78>");
	assert_non_null(strstr(strbuf_text(&received), " acme/db.2: crond[7]: late"));
	assert_int_equal(counts(f).lines, 3002);
	assert_int_equal(counts(f).lost, 0);
	close(fd);
}

/* A field of journald's protocol, either form; NULL when there is none. The caller frees it. */
static char *field(const char *bytes, size_t length, const char *name)
{
	const char *at = bytes, *end = bytes + length;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *equals;
		uint64_t size;
		bool is_it;

		assert_non_null(newline);
		equals = memchr(at, '=', (size_t)(newline - at));
		is_it = strncmp(at, name, strlen(name)) == 0 &&
			at + strlen(name) == (equals ? equals : newline);
		if (equals) {
			if (is_it)
				return xstrndup(equals + 1, (size_t)(newline - equals) - 1);
			at = newline + 1;
			continue;
		}
		assert_true(end - newline > 9);
		memcpy(&size, newline + 1, sizeof(size));
		size = le64toh(size);
		assert_true(size <= (uint64_t)(end - newline) - 10);
		at = newline + 9;
		assert_int_equal(at[size], '\n');
		if (is_it)
			return xstrndup(at, size);
		at += size + 1;
	}
	return NULL;
}

static void test_journal(void **state)
{
	static const char *const rows[][2] = {
		{ "MESSAGE", "hello\\x0aPRIORITY=0" },
		{ "PRIORITY", "4" },
		{ "SYSLOG_FACILITY", "2" },
		{ "SYSLOG_IDENTIFIER", "acme/db.2" },
		{ "SYSLOG_PID", "12" },
		{ "STOKER_TENANT", "acme" },
		{ "STOKER_VM", "db.2" },
		{ "STOKER_STREAM", "syslog" },
		{ "STOKER_TAG", "exim" },
		{ "STOKER_FACILITY", "mail" },
	};
	struct fixture *f = *state;
	int fd = listen_here();
	char bytes[4096];
	ssize_t n;

	open_to(f, "journald", 0);
	say(f, "acme/db.2", "syslog", "mail.warning exim[12]: hello\nPRIORITY=0");
	n = recv(fd, bytes, sizeof(bytes), 0);
	assert_true(n > 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_free_ char *got = field(bytes, (size_t)n, rows[i][0]);

		assert_non_null(got);
		assert_string_equal(got, rows[i][1]);
	}
	close(fd);
}

static int take_memory(int socket)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd;

	assert_int_equal(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 0);
	assert_non_null(CMSG_FIRSTHDR(&message));
	assert_int_equal(CMSG_FIRSTHDR(&message)->cmsg_type, SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* More than a datagram holds comes in a file that nobody can change any more. */
static void test_journal_sealed(void **state)
{
	enum { LENGTH = 1 << 20 };
	struct fixture *f = *state;
	_cleanup_free_ char *text = xcalloc(1, LENGTH + 1), *message = NULL;
	int socket = listen_here(), fd;
	const char *bytes;
	struct stat st;

	memset(text, 'x', LENGTH);
	open_to(f, "journald", 0);
	say(f, "acme/web", "stdout", text);
	fd = take_memory(socket);
	assert_int_equal(fcntl(fd, F_GET_SEALS),
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(bytes != MAP_FAILED);
	message = field(bytes, (size_t)st.st_size, "MESSAGE");
	assert_non_null(message);
	assert_string_equal(message, text);
	assert_int_equal(counts(f).lines, 1);
	munmap((void *)bytes, (size_t)st.st_size);
	close(fd);
	close(socket);
}

/* --- RFC 5424 over the network --------------------------------------------------------------- */

/* A reader of its own: the parts of one message, in place. */
struct parsed {
	int priority;
	char *time, *host, *app, *process, *id, *data, *text;
};

static char *word(char **at)
{
	char *start = strsep(at, " ");

	assert_non_null(start);
	assert_non_null(*at);
	assert_true(*start);
	return start;
}

static struct parsed parse(char *message)
{
	struct parsed parsed = { 0 };
	char *at = message, *end;

	assert_int_equal(*at++, '<');
	parsed.priority = (int)strtol(at, &end, 10);
	assert_int_equal(*end, '>');
	at = end + 1;
	assert_string_equal(word(&at), "1");
	parsed.time = word(&at);
	parsed.host = word(&at);
	parsed.app = word(&at);
	parsed.process = word(&at);
	parsed.id = word(&at);
	parsed.data = at;
	for (bool quoted = false; *at && (quoted || *at != ' ' || at[-1] != ']'); at++)
		if (*at == '"' && at[-1] != '\\')
			quoted = !quoted;
	assert_int_equal(*at, ' ');
	*at = '\0';
	parsed.text = at + 1;
	return parsed;
}

static void check_message(char *message, const char *app, const char *text)
{
	struct parsed parsed = parse(message);
	char host[256];

	assert_int_equal(gethostname(host, sizeof(host)), 0);
	assert_int_equal(parsed.priority, 30);
	assert_string_equal(parsed.time, "2026-11-26T06:30:00.042Z");
	assert_string_equal(parsed.host, host);
	assert_string_equal(parsed.app, app);
	assert_string_equal(parsed.process, "-");
	assert_string_equal(parsed.id, "-");
	assert_string_equal(parsed.text, text);
}

static void test_udp(void **state)
{
	struct fixture *f = *state;
	int port = 0, fd = listen_inet(SOCK_DGRAM, &port);
	char line[4001];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	open_to(f, "udp://127.0.0.1:", port);
	say(f, "acme/web", "stdout", "hello");
	await(f, fd, "hello");
	check_message(received.data, "acme/web", "hello");
	say(f, "acme/web", "stdout", line);
	await(f, fd, "xxx...");
	assert_int_equal(received.length, 2048);
	close(fd);
	/* The refusal of one comes back when another is sent, which waits. */
	do {
		assert_int_equal(usleep(1000), 0);
		say(f, "acme/web", "stdout", "more");
	} while (!is_logged(f, "cannot send: Connection refused"));
	fd = listen_inet(SOCK_DGRAM, &port);
	await(f, fd, "more");
	close(fd);
}

/* The next message of octet counting, taken out of what was received; NULL: not whole yet. */
static char *next_message(void)
{
	const char *blank = strchr(strbuf_text(&received), ' ');
	size_t length, head;
	char *message;

	if (!blank)
		return NULL;
	length = strtoul(strbuf_text(&received), NULL, 10);
	head = (size_t)(blank - received.data) + 1;
	assert_true(length > 0);
	assert_int_equal(strspn(received.data, "0123456789"), head - 1);
	if (received.length < head + length)
		return NULL;
	message = xstrndup(blank + 1, length);
	strbuf_consume(&received, head + length);
	return message;
}

static void test_tcp(void **state)
{
	struct fixture *f = *state;
	int port = 0, listener = listen_inet(SOCK_STREAM, &port), fd;
	char *first, *second;

	open_to(f, "tcp://localhost:", port);
	say(f, "acme/web", "stdout", "one");
	fd = await_client(f, listener);
	say(f, "acme/web.2", "stdout", "two");
	await(f, fd, "two");
	first = next_message();
	second = next_message();
	check_message(first, "acme/web", "one");
	check_message(second, "acme/web.2", "two");
	free(first);
	free(second);
	assert_int_equal(received.length, 0);
	assert_true(counts(f).is_up);
	/* What it says is not listened to; its end is seen at once, and not at the next line. */
	assert_int_equal(send(fd, "220 hello\r\n", 11, 0), 11);
	close(fd);
	await_logged(f, ": it closed the connection (lines wait, and it is tried again)");
	fd = await_client(f, listener);
	say(f, "acme/web", "stdout", "three");
	await(f, fd, "three");
	/* An operator asks for another connection. */
	forward_reopen(f->forward);
	close(fd);
	fd = await_client(f, listener);
	say(f, "acme/web", "stdout", "four");
	await(f, fd, "four");
	assert_int_equal(counts(f).lines, 4);
	close(fd);
	close(listener);
}

/* A target that takes nothing: the surplus is lost and counted, another tenant's lines are not, and
 * when it reads at last, it hears of it. */
static void test_overflow(void **state)
{
	struct fixture *f = *state;
	int port = 0, listener = listen_inet(SOCK_STREAM, &port), fd;
	uint64_t until_ms = loop_now_ms() + WAIT_MS, said = 0, got = 0, others = 0;
	bool is_told = false;
	char line[4001];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	open_to(f, "tcp://127.0.0.1:", port);
	fd = await_client(f, listener);
	for (; counts(f).lost < 1000; said++) {
		say(f, "acme/web", "stdout", line);
		if (said % 16 == 0)
			turn(f);
	}
	await_logged(f, ": lines are lost: more of them wait than there is room for");
	for (int i = 0; i < 20; i++)
		say(f, "globex/db", "stdout", "quiet");
	assert_int_equal(counts(f).lost, 1000);
	while (!is_told) {
		char bytes[65536], *message;
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		assert_true(loop_now_ms() < until_ms);
		if (n > 0)
			strbuf_add(&received, bytes, (size_t)n);
		else
			turn(f);
		while ((message = next_message())) {
			struct parsed parsed = parse(message);

			got += strcmp(parsed.app, "acme/web") == 0;
			others += strcmp(parsed.text, "quiet") == 0;
			if (strcmp(parsed.app, "stokerd") == 0) {
				assert_string_equal(parsed.text, "1000 lines of guests were lost");
				is_told = true;
			}
			free(message);
		}
	}
	assert_int_equal(got, said - 1000);
	assert_int_equal(others, 20);
	assert_int_equal(counts(f).lines, said - 1000 + 20 + 1);
	close(fd);
	close(listener);
}

/* A connection that breaks in the middle of a message: the next begins with one. */
static void test_broken_message(void **state)
{
	struct fixture *f = *state;
	int port = 0, listener = listen_inet(SOCK_STREAM, &port), fd;
	_cleanup_free_ char *message = NULL;
	struct linger reset = { 1, 0 };
	char line[4001];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	open_to(f, "tcp://127.0.0.1:", port);
	fd = await_client(f, listener);
	say(f, "acme/web", "stdout", "begin");
	await(f, fd, "begin");
	/* Until the kernel takes no more: the rest of one waits. */
	for (uint64_t said = 1; counts(f).lines == said; said++)
		say(f, "acme/web", "stdout", line);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	say(f, "acme/web", "stdout", "the end");
	fd = await_client(f, listener);
	await(f, fd, "the end");
	while ((message = next_message())) {
		struct parsed parsed = parse(message);

		assert_true(strcmp(parsed.text, line) == 0 || strcmp(parsed.text, "the end") == 0);
		free(message);
	}
	assert_int_equal(received.length, 0);
	close(fd);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_syslog, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_journal, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_journal_sealed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_udp, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tcp, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_overflow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_broken_message, set_up, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
