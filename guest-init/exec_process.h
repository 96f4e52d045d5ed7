/* SPDX-License-Identifier: Apache-2.0 */
/* What runs in a session: a program with pipes or a terminal, in a process session and a control
 * group of its own. For exec.c. */
#ifndef STOKER_GUEST_INIT_EXEC_PROCESS_H
#define STOKER_GUEST_INIT_EXEC_PROCESS_H

#include "guest-init/config.h"
#include "guest-init/exec.h"
#include "guest-init/failure.h"

/* Sets the session's fds, pid and group; `asked` says what, as whom and where. -1: it was not
 * executed; then what is set is to be closed and forgotten as if it were. */
int exec_process_start(struct execs *execs, struct exec_session *session,
		       const struct frame_exec *how, struct config *asked, struct failure *why);

/* To its first process and that one's process group; none when it was reaped. */
void exec_process_signal(const struct exec_session *session, int number);

/* SIGKILL to all that it started. */
void exec_process_kill(const struct exec_session *session);

/* Removes its control group. */
void exec_process_forget(const struct exec_session *session);

#endif
