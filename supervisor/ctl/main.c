/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stokerctl(8): one table of commands, one of options. Options stand anywhere before "--"; each
 * command takes only its own and the global ones.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "control/protocol.h"
#include "ctl/ctl.h"
#include "ctl/print.h"

enum {
	OPTION_GLOBAL = 1,
	OPTION_JSON = 2,
	OPTION_FOLLOW = 4,
	OPTION_LINES = 8,
	OPTION_TIMEOUT = 16,
	OPTION_OUTPUT = 32,
	OPTION_PLATFORM = 64,
	OPTION_DRY_RUN = 128,
	OPTION_COMPRESS = 256,
	OPTION_INPUT = 512,
	OPTION_TERMINAL = 1024,
	OPTION_DETACH = 2048,
	OPTION_USER = 4096,
	OPTION_DIRECTORY = 8192,
	OPTION_ENVIRONMENT = 16384,
	OPTIONS_EXEC = OPTION_INPUT | OPTION_TERMINAL | OPTION_DETACH | OPTION_USER |
		       OPTION_DIRECTORY | OPTION_ENVIRONMENT,
	OPTION_SINCE = 1 << 16,
	OPTION_SEVERITY = 1 << 17,
	OPTION_STREAM = 1 << 18,
	OPTIONS_LOGS = OPTION_FOLLOW | OPTION_LINES | OPTION_SINCE | OPTION_SEVERITY |
		       OPTION_STREAM | OPTION_JSON,
};

static const struct command {
	const char *name;
	ctl_command_fn *run; /* NULL: help */
	unsigned options;
	size_t min_args, max_args;
	const char *usage, *help;
	const char *argument; /* what it needs; NULL: the name of a VM */
} commands[] = {
	{ "check", ctl_check, 0, 0, 1000, "check [FILE...]",
	  "read the manifests and list all that is wrong (needs no daemon)" },
	{ "plan", ctl_plan, 0, 0, 0, "plan", "show what a reload would do" },
	{ "reload", ctl_reload, OPTION_TIMEOUT, 0, 0, "reload [--timeout SECONDS]",
	  "apply the manifests and wait for the result" },
	{ "status", ctl_status, OPTION_JSON, 0, 1, "status [--json] [VM]",
	  "show what runs, and why what does not" },
	{ "stats", ctl_stats, OPTION_FOLLOW | OPTION_JSON, 0, 1, "stats [-f] [--json] [VM]",
	  "show how guests are doing, as they say" },
	{ "logs", ctl_logs, OPTIONS_LOGS, 1, 1,
	  "logs [-f] [-n LINES] [--since TIME] [--severity LEVEL] [--stream NAMES] [--json] VM",
	  "show what a VM said" },
	{ "exec", ctl_exec, OPTIONS_EXEC, 2, 100000,
	  "exec [-it] [-u USER] [-w DIR] [-e K=V] [--detach] VM -- COMMAND...",
	  "run a program in a VM, beside its workload", "the name of a VM and a command" },
	{ "guard", ctl_guard, 0, 1, 1, "guard VM", "show what the guard passed and dropped" },
	{ "restart", ctl_restart, 0, 1, 1, "restart VM",
	  "stop a VM gracefully and start it again" },
	{ "pause", ctl_pause, 0, 1, 1, "pause VM", "stop a VM's processors; it keeps its memory" },
	{ "resume", ctl_resume, 0, 1, 1, "resume VM", "let a paused VM go on" },
	{ "events", ctl_events, OPTION_FOLLOW, 0, 0, "events [-f]",
	  "show what happened to instances" },
	{ "image list", ctl_image_list, OPTION_JSON, 0, 0, "image list [--json]",
	  "show the images that are here, and who uses them" },
	{ "image inspect", ctl_image_inspect, OPTION_JSON, 1, 1, "image inspect [--json] IMAGE",
	  "show what an image says of itself, and its layers", "the name of an image" },
	{ "image pull", ctl_image_pull, OPTION_OUTPUT | OPTION_PLATFORM | OPTION_COMPRESS, 1, 1,
	  "image pull [-o FILE [--platform OS/ARCH] [--compress METHOD]] IMAGE",
	  "fetch an image; -o: write its squashfs (needs no daemon)", "the name of an image" },
	{ "image prune", ctl_image_prune, OPTION_DRY_RUN, 0, 0, "image prune [-n]",
	  "remove the images that nobody needs" },
	{ "volume list", ctl_volume_list, OPTION_JSON, 0, 0, "volume list [--json]",
	  "show the named volumes, and who uses them" },
	{ "volume prune", ctl_volume_prune, OPTION_DRY_RUN, 0, 0, "volume prune [-n]",
	  "remove the volumes that no VM has: what is in them is gone" },
	{ "doctor", ctl_doctor, OPTION_JSON, 0, 0, "doctor [--json]",
	  "examine this host, and say what to do about it (needs no daemon)" },
	{ "version", ctl_version, 0, 0, 0, "version",
	  "show the versions of stokerctl and stokerd" },
	{ "help", NULL, 0, 0, 0, "help", "show this" },
};

static const struct option {
	char letter; /* 0: none */
	const char *word;
	unsigned bit;
	const char *value; /* NULL: takes none */
	const char *help;
} options[] = {
	{ 'c', "config", OPTION_GLOBAL, "FILE",
	  "settings (default " STOKER_SYSCONFDIR "/stoker/stoker.ini)" },
	{ 's', "socket", OPTION_GLOBAL, "PATH", "control socket (default RUN_DIR/control.sock)" },
	{ 'h', "help", OPTION_GLOBAL, NULL, "show this" },
	{ 0, "json", OPTION_JSON, NULL, "logs, status, stats, doctor, image, volume: as JSON" },
	{ 'f', "follow", OPTION_FOLLOW, NULL, "logs, events, stats: go on until interrupted" },
	{ 'n', "lines", OPTION_LINES, "LINES", "logs: the last LINES, 0 for all (default 100)" },
	{ 'S', "since", OPTION_SINCE, "TIME",
	  "logs: from then, as in 10m, today, '2026-11-26 06:30:00'" },
	{ 'p', "severity", OPTION_SEVERITY, "LEVEL",
	  "logs: that or worse, emerg to debug or 0 to 7" },
	{ 0, "stream", OPTION_STREAM, "NAME[,NAME]",
	  "logs: of stdout, stderr, kernel, syslog, init, console, stoker" },
	{ 't', "timeout", OPTION_TIMEOUT, "SECONDS",
	  "reload: wait so long, 0 not at all (default 300)" },
	{ 'o', "output", OPTION_OUTPUT, "FILE", "image pull: write the squashfs here" },
	{ 0, "platform", OPTION_PLATFORM, "OS/ARCH",
	  "image pull -o: not this host's, as in linux/arm64" },
	{ 0, "compress", OPTION_COMPRESS, "METHOD[:LEVEL]",
	  "image pull -o: zstd, gzip, lz4 or xz (default as in stoker.ini)" },
	{ 'i', "input", OPTION_INPUT, NULL, "exec: it reads our standard input" },
	{ 't', "tty", OPTION_TERMINAL, NULL, "exec: it has a terminal, which is ours" },
	{ 'u', "user", OPTION_USER, "USER", "exec: as in the manifest (default: the workload's)" },
	{ 'w', "workdir", OPTION_DIRECTORY, "DIR", "exec: start there (default: as the workload)" },
	{ 'e', "env", OPTION_ENVIRONMENT, "KEY=VALUE", "exec: set this too; may be repeated" },
	{ 0, "detach", OPTION_DETACH, NULL, "exec: leave it running; it speaks to the VM's log" },
	{ 'n', "dry-run", OPTION_DRY_RUN, NULL, "prune: only say what would go" },
};

enum { COMMAND_TABLE_COUNT = sizeof(commands) / sizeof(commands[0]) };
enum { OPTION_TABLE_COUNT = sizeof(options) / sizeof(options[0]) };

/* The command line, taken apart. */
struct line {
	struct ctl ctl;
	const struct command *command;
	const char *group; /* the first word of commands that have two */
	const char **args; /* owned; ctl.args points to it */
	unsigned seen;	   /* bits of the options that were given */
	bool wants_help;
};

int ctl_fail(const struct error *err)
{
	fflush(stdout);
	fputs("stokerctl: ", stderr);
	print_text(stderr, err->text);
	fputc('\n', stderr);
	return EXIT_REFUSED;
}

static int fail_usage(const struct error *err)
{
	ctl_fail(err);
	fputs("Try 'stokerctl help'.\n", stderr);
	return EXIT_USAGE;
}

/* --- suggestions -------------------------------------------------------------------------------
 */

/* Levenshtein's distance; words are short, so one row on the stack does. */
static size_t distance(const char *a, const char *b)
{
	enum { WORD_MAX = 32 };
	size_t row[WORD_MAX + 1], length = strlen(b);

	if (length > WORD_MAX || strlen(a) > WORD_MAX)
		return WORD_MAX;
	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[length];
}

/* Better than `*best`, and near enough to be what was meant? */
static bool is_nearer(const char *word, const char *candidate, size_t *best)
{
	size_t found = distance(word, candidate);

	if (found >= *best || found >= strlen(candidate))
		return false;
	*best = found;
	return true;
}

static int fail_command(const char *word)
{
	const char *meant = NULL;
	struct error err;
	size_t best = 3;

	for (size_t i = 0; i < COMMAND_TABLE_COUNT; i++)
		if (is_nearer(word, commands[i].name, &best))
			meant = commands[i].name;
	if (meant)
		error_set(&err, "unknown command '%s' (did you mean '%s'?)", word, meant);
	else
		error_set(&err, "unknown command '%s'", word);
	return fail_usage(&err);
}

static int fail_option(const char *text)
{
	const char *meant = NULL;
	struct error err;
	size_t best = 3;

	for (size_t i = 0; strncmp(text, "--", 2) == 0 && i < OPTION_TABLE_COUNT; i++)
		if (is_nearer(text + 2, options[i].word, &best))
			meant = options[i].word;
	if (meant)
		error_set(&err, "unknown option '%s' (did you mean '--%s'?)", text, meant);
	else
		error_set(&err, "unknown option '%s'", text);
	return fail_usage(&err);
}

/* --- reading the command line ------------------------------------------------------------------
 */

static int parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *text < '0' || *text > '9' || *end || errno || *ret > max ? -1 : 0;
}

static void set_exec_option(struct ctl *ctl, const struct option *option, const char *value)
{
	if (option->bit == OPTION_INPUT)
		ctl->has_input = true;
	else if (option->bit == OPTION_TERMINAL)
		ctl->has_terminal = true;
	else if (option->bit == OPTION_DETACH)
		ctl->is_detached = true;
	else if (option->bit == OPTION_USER)
		ctl->user = value;
	else if (option->bit == OPTION_DIRECTORY)
		ctl->working_dir = value;
	else
		ctl->environment[ctl->environment_count++] = value;
}

static int set_option(struct line *line, const struct option *option, const char *value)
{
	struct ctl *ctl = &line->ctl;
	uint64_t number = 0;
	struct error err;

	line->seen |= option->bit;
	if (option->bit == OPTION_LINES || option->bit == OPTION_TIMEOUT) {
		uint64_t max = option->bit == OPTION_LINES ? PROTOCOL_LINES_MAX : 86400;

		if (parse_number(value, max, &number) < 0) {
			error_set(&err, "--%s %s: not a number from 0 to %llu", option->word, value,
				  (unsigned long long)max);
			return fail_usage(&err);
		}
	}
	if (option->bit == OPTION_LINES) {
		ctl->lines = number;
		ctl->has_lines = true;
	} else if (option->bit == OPTION_TIMEOUT)
		ctl->timeout_ms = number * 1000;
	else if (option->bit == OPTION_JSON)
		ctl->is_json = true;
	else if (option->bit == OPTION_FOLLOW)
		ctl->is_following = true;
	else if (option->bit == OPTION_OUTPUT)
		ctl->output_path = value;
	else if (option->bit == OPTION_PLATFORM)
		ctl->platform = value;
	else if (option->bit == OPTION_COMPRESS)
		ctl->compression = value;
	else if (option->bit == OPTION_DRY_RUN)
		ctl->is_dry_run = true;
	else if (option->bit & OPTIONS_EXEC)
		set_exec_option(ctl, option, value);
	else if (option->bit == OPTION_SINCE)
		ctl->since = value;
	else if (option->bit == OPTION_SEVERITY)
		ctl->severity = value;
	else if (option->bit == OPTION_STREAM)
		ctl->streams = value;
	else if (option->letter == 'c')
		ctl->settings_path = value;
	else if (option->letter == 's')
		ctl->socket_path = value;
	else
		line->wants_help = true;
	return EXIT_DONE;
}

/* The value in "--word=value" or after the letter, else the next argument. */
static int take_option(struct line *line, const struct option *option, const char *attached,
		       char **argv, int *i)
{
	struct error err;

	if (!option->value && attached) {
		error_set(&err, "--%s takes no value", option->word);
		return fail_usage(&err);
	}
	if (option->value && !attached)
		attached = argv[++*i];
	if (option->value && !attached) {
		error_set(&err, "--%s needs a value (%s)", option->word, option->value);
		return fail_usage(&err);
	}
	return set_option(line, option, attached);
}

static int take_word(struct line *line, char **argv, int *i)
{
	const char *word = argv[*i] + 2, *equals = strchr(word, '=');
	size_t length = equals ? (size_t)(equals - word) : strlen(word);

	for (size_t k = 0; k < OPTION_TABLE_COUNT; k++)
		if (strlen(options[k].word) == length &&
		    strncmp(options[k].word, word, length) == 0)
			return take_option(line, &options[k], equals ? equals + 1 : NULL, argv, i);
	return fail_option(argv[*i]);
}

/* A letter may stand for two options: then the one that the command takes. */
static const struct option *find_letter(const struct line *line, char letter)
{
	const struct option *found = NULL;

	for (size_t i = 0; i < OPTION_TABLE_COUNT; i++) {
		if (options[i].letter != letter)
			continue;
		if (!found || (line->command && (line->command->options & options[i].bit)))
			found = &options[i];
	}
	return found;
}

/* "-f", "-n5", "-fn5": letters without a value may stand together. */
static int take_letters(struct line *line, char **argv, int *i)
{
	const char *text = argv[*i];

	for (const char *at = text + 1; *at; at++) {
		const struct option *option = find_letter(line, *at);
		int result;

		if (!option)
			return fail_option(text);
		result = take_option(line, option, option->value && at[1] ? at + 1 : NULL, argv, i);
		if (result != EXIT_DONE || option->value)
			return result;
	}
	return EXIT_DONE;
}

static int take_plain(struct line *line, const char *text)
{
	_cleanup_free_ char *name = NULL;
	size_t length;

	if (line->command) {
		line->args[line->ctl.arg_count++] = text;
		return EXIT_DONE;
	}
	name = line->group ? xasprintf("%s %s", line->group, text) : xstrdup(text);
	length = strlen(name);
	for (size_t i = 0; i < COMMAND_TABLE_COUNT; i++) {
		if (strcmp(commands[i].name, name) == 0)
			line->command = &commands[i];
		else if (strncmp(commands[i].name, name, length) == 0 &&
			 commands[i].name[length] == ' ')
			line->group = text;
	}
	return line->command || line->group == text ? EXIT_DONE : fail_command(name);
}

static int parse(struct line *line, int argc, char **argv)
{
	bool is_plain = false;
	int result = EXIT_DONE;

	line->ctl.settings_path = STOKER_SYSCONFDIR "/stoker/stoker.ini";
	line->ctl.lines = 100;
	line->ctl.timeout_ms = 300 * 1000;
	line->args = xcalloc((size_t)argc + 1, sizeof(*line->args));
	line->ctl.args = line->args;
	line->ctl.environment = xcalloc((size_t)argc + 1, sizeof(char *));
	for (int i = 1; i < argc && result == EXIT_DONE; i++) {
		if (is_plain || argv[i][0] != '-' || !argv[i][1])
			result = take_plain(line, argv[i]);
		else if (strcmp(argv[i], "--") == 0)
			is_plain = true;
		else if (argv[i][1] == '-')
			result = take_word(line, argv, &i);
		else
			result = take_letters(line, argv, &i);
	}
	return result;
}

/* The command gets what it takes, no less and no more. */
static int check_usage(const struct line *line)
{
	const struct command *command = line->command;
	unsigned strange = line->seen & ~(command->options | OPTION_GLOBAL);
	struct error err;

	for (size_t i = 0; i < OPTION_TABLE_COUNT; i++)
		if (options[i].bit & strange) {
			error_set(&err, "'%s' takes no --%s (usage: stokerctl %s)", command->name,
				  options[i].word, command->usage);
			return fail_usage(&err);
		}
	if (line->ctl.arg_count < command->min_args) {
		error_set(&err, "'%s' needs %s (usage: stokerctl %s)", command->name,
			  command->argument ? command->argument : "the name of a VM",
			  command->usage);
		return fail_usage(&err);
	}
	if (line->ctl.arg_count > command->max_args) {
		error_set(&err, "'%s' does not know what to do with '%s' (usage: stokerctl %s)",
			  command->name, line->ctl.args[command->max_args], command->usage);
		return fail_usage(&err);
	}
	return EXIT_DONE;
}

static void print_usage(FILE *out, const struct command *command)
{
	enum { USAGE_WIDTH = 28 };

	if (strlen(command->usage) > USAGE_WIDTH)
		fprintf(out, "  %s\n  %-*s %s\n", command->usage, USAGE_WIDTH, "", command->help);
	else
		fprintf(out, "  %-*s %s\n", USAGE_WIDTH, command->usage, command->help);
}

static void print_help(FILE *out)
{
	fputs("usage: stokerctl [-c FILE] [-s PATH] COMMAND ...\n\n", out);
	for (size_t i = 0; i < COMMAND_TABLE_COUNT; i++)
		print_usage(out, &commands[i]);
	fputc('\n', out);
	for (size_t i = 0; i < OPTION_TABLE_COUNT; i++) {
		const struct option *option = &options[i];
		_cleanup_free_ char *word = xasprintf("--%s%s%s", option->word,
						      option->value ? " " : "",
						      option->value ? option->value : "");

		fprintf(out, "  %c%c%c %-24s %s\n", option->letter ? '-' : ' ',
			option->letter ? option->letter : ' ', option->letter ? ',' : ' ', word,
			option->help);
	}
	fputs("\nVM is TENANT/VM, or TENANT/VM.N for replica N. See stokerctl(8).\n", out);
}

/* "image" alone: says what may follow. */
static int fail_group(const char *group)
{
	_cleanup_strbuf_ struct strbuf words = { 0 };
	size_t length = strlen(group);
	struct error err;

	for (size_t i = 0; i < COMMAND_TABLE_COUNT; i++)
		if (strncmp(commands[i].name, group, length) == 0 &&
		    commands[i].name[length] == ' ')
			strbuf_printf(&words, "%s%s", words.length ? ", " : "",
				      commands[i].name + length + 1);
	error_set(&err, "'%s' needs one of: %s", group, strbuf_text(&words));
	return fail_usage(&err);
}

static int run(const struct line *line)
{
	int result = check_usage(line);

	return result == EXIT_DONE ? line->command->run(&line->ctl) : result;
}

int main(int argc, char **argv)
{
	struct line line = { 0 };
	int result = parse(&line, argc, argv);

	if (result == EXIT_DONE && line.group && !line.command && !line.wants_help) {
		result = fail_group(line.group);
	} else if (result == EXIT_DONE && !line.command && !line.wants_help) {
		print_help(stderr);
		result = EXIT_USAGE;
	} else if (result == EXIT_DONE && (line.wants_help || !line.command->run)) {
		print_help(stdout);
	} else if (result == EXIT_DONE) {
		result = run(&line);
	}
	free(line.args);
	free(line.ctl.environment);
	/* A full disk or a closed pipe behind our output is a failure like any other. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && result == EXIT_DONE) {
		perror("stokerctl: standard output");
		result = EXIT_REFUSED;
	}
	return result;
}
