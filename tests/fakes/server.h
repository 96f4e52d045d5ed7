/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scripted HTTP server in a child process, for unit tests: each connection gets the next answer
 * of a fixed list and is closed. What it was asked is appended to a pipe, for assertions.
 */
#ifndef STOKER_TESTS_FAKES_SERVER_H
#define STOKER_TESTS_FAKES_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

enum { SERVER_ANSWERS_MAX = 16 };

struct server {
	pid_t pid;
	int port;
	int asked; /* read end: all requests, as sent */
};

/* "%STALL" at the end of an answer keeps the connection open without another byte. "%PORT" is
 * replaced by the server's port. */
static inline void server_answer(int client, const char *answer, int port)
{
	static char text[1 << 20];
	char number[16];
	const char *mark = strstr(answer, "%PORT"), *stall = strstr(answer, "%STALL");
	size_t length;

	snprintf(number, sizeof(number), "%d", port);
	if (mark)
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(mark - answer), answer, number,
			 mark + strlen("%PORT"));
	else
		snprintf(text, sizeof(text), "%s", answer);
	length = stall ? (size_t)(strstr(text, "%STALL") - text) : strlen(text);
	fs_write_all(client, text, length, NULL);
	if (stall)
		pause();
	shutdown(client, SHUT_WR);
}

static inline void server_run(int listener, int port, int asked, const char *const *answers)
{
	signal(SIGPIPE, SIG_IGN);
	for (; *answers; answers++) {
		int client = accept(listener, NULL, NULL);
		char request[8192];
		size_t got = 0;

		while (client >= 0 && got < sizeof(request) - 1) {
			ssize_t n = read(client, request + got, sizeof(request) - 1 - got);

			if (n <= 0)
				break;
			got += (size_t)n;
			request[got] = '\0';
			if (strstr(request, "\r\n\r\n"))
				break;
		}
		fs_write_all(asked, request, got, NULL);
		server_answer(client, *answers, port);
		/* Until the peer closes: closing first could reset what it has not read yet. */
		while (read(client, request, sizeof(request)) > 0)
			;
		close(client);
	}
	_exit(0);
}

/* Listens on 127.0.0.1, or on a unix socket when `path` is given. `answers` ends with NULL. */
static inline struct server server_start(const char *path, const char *const *answers)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(in);
	struct server server = { 0 };
	int listener = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ends[2];

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (path)
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (bind(listener, path ? (struct sockaddr *)&un : (struct sockaddr *)&in,
		 path ? sizeof(un) : sizeof(in)) < 0 ||
	    listen(listener, 16) < 0 || pipe(ends) < 0) {
		perror("server_start");
		abort();
	}
	if (!path && getsockname(listener, (struct sockaddr *)&in, &length) == 0)
		server.port = ntohs(in.sin_port);
	server.pid = fork();
	if (server.pid == 0)
		server_run(listener, server.port, ends[1], answers);
	close(listener);
	close(ends[1]);
	server.asked = ends[0];
	return server;
}

/* Ends it and returns everything it was asked; the caller frees the text. */
static inline char *server_stop(struct server *server)
{
	struct strbuf text = { 0 };

	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	fs_read_fd(server->asked, "requests", 1 << 20, &text, NULL);
	close(server->asked);
	return strbuf_take(&text);
}

#endif
