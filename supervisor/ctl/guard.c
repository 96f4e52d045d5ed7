/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl guard: what the guard lets a VM send, what it has dropped, by reason, and the last of
 * that, frame by frame. */
#include <string.h>
#include <time.h>

#include "ctl/client.h"
#include "ctl/print.h"

static void print_counter(const json_t *counter)
{
	printf("%-9s", json_bool_or(counter, "drop", false) ? "drop" : "pass");
	printf("%12llu%10llu  ", (unsigned long long)json_u64_or(counter, "packets", 0),
	       (unsigned long long)json_u64_or(counter, "per_second", 0));
	print_text(stdout, json_string_or(counter, "name", "?"));
	putchar('\n');
}

static void print_counters(const json_t *counters)
{
	const json_t *counter;
	size_t i, silent = 0;

	printf("%-9s%12s%10s  %s\n", "VERDICT", "PACKETS", "A SECOND", "REASON");
	json_array_foreach (counters, i, counter)
		if (json_bool_or(counter, "drop", false) && !json_u64_or(counter, "packets", 0))
			silent++;
		else
			print_counter(counter);
	if (silent > 0)
		printf("%-9s%12d%10d  for each of %zu other reasons\n", "drop", 0, 0, silent);
}

static void print_rate(uint64_t bits, uint64_t packets)
{
	static const char *const units[] = { "bit", "kbit", "Mbit", "Gbit" };
	size_t unit = 0;

	for (; bits && bits % 1000 == 0 && unit < 3; bits /= 1000)
		unit++;
	if (bits)
		printf(", %llu%s/s", (unsigned long long)bits, units[unit]);
	if (packets)
		printf(", %llu packets/s", (unsigned long long)packets);
	if (!bits && !packets)
		fputs(", no limits", stdout);
}

/* A line for each, under a heading; `none` when there are none. */
static void print_rules(const char *heading, const json_t *rules, const char *none)
{
	const json_t *rule;
	size_t i;

	printf("%s:%s%s\n", heading, json_array_size(rules) ? "" : " ",
	       json_array_size(rules) ? "" : none);
	json_array_foreach (rules, i, rule) {
		fputs("  ", stdout);
		print_text(stdout, json_string_value(rule) ? json_string_value(rule) : "?");
		putchar('\n');
	}
}

static void print_policy(const json_t *policy)
{
	const json_t *address;
	size_t i;

	fputs("may be: ", stdout);
	print_text(stdout, json_string_or(policy, "mac", "?"));
	json_array_foreach (json_object_get(policy, "addresses"), i, address) {
		putchar(' ');
		print_text(stdout, json_string_value(address) ? json_string_value(address) : "?");
	}
	printf("\nmay send: MTU %llu", (unsigned long long)json_u64_or(policy, "mtu", 0));
	print_rate(json_u64_or(policy, "rate_bits", 0), json_u64_or(policy, "rate_packets", 0));
	putchar('\n');
	print_rules("egress, as loaded", json_object_get(policy, "egress"), "peers and the world");
	print_rules("ingress, as loaded", json_object_get(policy, "ingress"),
		    "peers, and the world by published ports");
	print_rules("published", json_object_get(policy, "ports"), "nothing");
}

static void print_events(const json_t *events)
{
	const json_t *event;
	size_t i;

	if (json_array_size(events))
		puts("last drops:");
	json_array_foreach (events, i, event) {
		time_t seconds = (time_t)(json_u64_or(event, "time_ms", 0) / 1000);
		char date[32] = "?";
		struct tm utc;

		if (gmtime_r(&seconds, &utc))
			strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
		printf("%s  ", date);
		print_guard_event(event);
		putchar('\n');
	}
}

static void on_answer(void *data, const char *key, const json_t *value)
{
	_cleanup_strbuf_ struct strbuf accepted = { 0 }, delivered = { 0 };

	(void)data;
	if (strcmp(key, "guard") != 0)
		return;
	print_bytes(&accepted, json_u64_or(value, "accepted_bytes", 0));
	print_bytes(&delivered, json_u64_or(value, "delivered_bytes", 0));
	print_text(stdout, json_string_or(value, "name", "?"));
	fputs(": guard (", stdout);
	print_text(stdout, json_string_or(value, "attachment", "?"));
	printf("), %s accepted from the guest, %s delivered to it\n", strbuf_text(&accepted),
	       strbuf_text(&delivered));
	print_policy(json_object_get(value, "policy"));
	if (json_bool_or(value, "shield", false) || json_u64_or(value, "shielded", 0))
		printf("flood shield: %s, met %llu frames\n",
		       json_bool_or(value, "shield", false) ? "up" : "down",
		       (unsigned long long)json_u64_or(value, "shielded", 0));
	print_counters(json_object_get(value, "counters"));
	print_events(json_object_get(value, "events"));
}

int ctl_guard(const struct ctl *ctl)
{
	struct error err = { 0 };
	struct request request;

	if (request_init(&request, COMMAND_GUARD, ctl, &err) < 0 ||
	    client_ask(ctl, &request, on_answer, NULL, NULL, &err) < 0)
		return ctl_fail(&err);
	return EXIT_DONE;
}
