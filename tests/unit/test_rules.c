/* SPDX-License-Identifier: Apache-2.0 */
/* The text that nft(8) gets; tests/system/policy.t has what the kernel makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/policy.h"
#include "net/rules.h"

#define EGRESS	"add rule inet stoker egress_7 "
#define INGRESS "add rule inet stoker ingress_7 "

/* The policy's words are separated by newlines. */
static int print(enum rules_side side, const char *words, struct strbuf *out, struct error *err)
{
	char *copy = strdup(words), *left = NULL;
	struct strv policy = { 0 };
	int result;

	for (char *word = strtok_r(copy, "\n", &left); word; word = strtok_r(NULL, "\n", &left))
		strv_add(&policy, word);
	result = rules_print_policy(side, 7, &policy, out, err);
	strv_reset(&policy);
	free(copy);
	return result;
}

static void expect(enum rules_side side, const char *policy, const char *wanted)
{
	_cleanup_strbuf_ struct strbuf out = { 0 };
	struct error err;

	if (print(side, policy, &out, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(strbuf_text(&out), wanted);
}

static void refuse(const char *policy, const char *wanted)
{
	_cleanup_strbuf_ struct strbuf out = { 0 };
	struct error err;

	assert_int_equal(print(RULES_EGRESS, policy, &out, &err), -1);
	assert_string_equal(err.text, wanted);
}

static void test_defaults(void **state)
{
	(void)state;
	expect(RULES_EGRESS, "", "");
	expect(RULES_EGRESS, "default deny", EGRESS "counter drop\n");
	expect(RULES_INGRESS, "default allow", INGRESS "return\n");
}

static void test_networks(void **state)
{
	(void)state;
	expect(RULES_EGRESS,
	       "default deny\n"
	       "deny 10.66.0.0/16\n"
	       "allow 10.0.0.0/8\n"
	       "allow 192.0.2.1/32\n"
	       "allow 2001:db8::/32\n"
	       "allow 0.0.0.0/0\n"
	       "allow ::/0\n",
	       EGRESS "ip daddr 10.66.0.0/16 counter drop\n" /* what a VM sends to */
	       EGRESS "ip daddr 10.0.0.0/8 return\n" EGRESS "ip daddr 192.0.2.1/32 return\n" EGRESS
		      "ip6 daddr 2001:db8::/32 return\n" EGRESS "meta nfproto ipv4 return\n" EGRESS
		      "meta nfproto ipv6 return\n" EGRESS "counter drop\n");
	expect(RULES_INGRESS, "default allow\ndeny 10.0.0.0/8\ndeny 2001:db8::/32\n",
	       INGRESS "ip saddr 10.0.0.0/8 counter drop\n" /* what it hears from */
	       INGRESS "ip6 saddr 2001:db8::/32 counter drop\n" INGRESS "return\n");
}

/* One rule of nftables for each range, for elements of sets change under a frame. */
static void test_ports(void **state)
{
	(void)state;
	expect(RULES_EGRESS, "default deny\nallow 10.0.0.0/8 udp/53 tcp/443 tcp/8000-8999\n",
	       EGRESS "ip daddr 10.0.0.0/8 tcp dport 443 return\n" EGRESS
		      "ip daddr 10.0.0.0/8 tcp dport 8000-8999 return\n" EGRESS
		      "ip daddr 10.0.0.0/8 udp dport 53 return\n" EGRESS "counter drop\n");
	expect(RULES_EGRESS, "default allow\ndeny 0.0.0.0/0 tcp udp/1-65535\n",
	       EGRESS "meta nfproto ipv4 meta l4proto tcp counter drop\n" EGRESS
		      "meta nfproto ipv4 meta l4proto udp counter drop\n" EGRESS "return\n");
	expect(RULES_EGRESS, "default deny\nallow 10.0.0.0/8 icmp\nallow ::/0 icmp\n",
	       EGRESS "ip daddr 10.0.0.0/8 meta l4proto icmp return\n" EGRESS
		      "meta nfproto ipv6 meta l4proto icmpv6 return\n" EGRESS "counter drop\n");
	/* Those that touch are one. */
	expect(RULES_EGRESS,
	       "default deny\nallow 10.0.0.0/8 tcp/90 tcp/80-89 tcp/85-100 tcp/102 tcp/65535\n",
	       EGRESS "ip daddr 10.0.0.0/8 tcp dport 80-100 return\n" EGRESS
		      "ip daddr 10.0.0.0/8 tcp dport 102 return\n" EGRESS
		      "ip daddr 10.0.0.0/8 tcp dport 65535 return\n" EGRESS "counter drop\n");
}

static void test_published(void **state)
{
	struct rules_port port = { .protocol = IPPROTO_TCP, .host_port = 8080, .vm_port = 80 };
	_cleanup_strbuf_ struct strbuf out = { 0 };

	(void)state;
	address_parse("10.20.0.10", &port.vm);
	rules_print_port_added(&port, &out);
	address_parse("192.0.2.1", &port.host);
	rules_print_port_added(&port, &out);
	rules_print_port_deleted(&port, &out);
	port = (struct rules_port){ .protocol = IPPROTO_UDP, .host_port = 53, .vm_port = 5353 };
	address_parse("fd00:20::10", &port.vm);
	rules_print_port_added(&port, &out);
	address_parse("2001:db8::1", &port.host);
	rules_print_port_deleted(&port, &out);
	assert_string_equal(
		strbuf_text(&out),
		"add element inet stoker any4 { tcp . 8080 : 10.20.0.10 . 80 }\n"
		"add element inet stoker host4 { 192.0.2.1 . tcp . 8080 : 10.20.0.10 . 80 }\n"
		"delete element inet stoker host4 { 192.0.2.1 . tcp . 8080 }\n"
		"add element inet stoker any6 { udp . 53 : fd00:20::10 . 5353 }\n"
		"delete element inet stoker host6 { 2001:db8::1 . udp . 53 }\n");
}

/* Records of adopted VMs say such things, if anybody does. */
static void test_refusals(void **state)
{
	(void)state;
	refuse("allow 10.0.0.0/8", "egress: 'allow 10.0.0.0/8' is no default");
	refuse("default deny\npermit 10.0.0.0/8", "egress: 'permit 10.0.0.0/8' is not a rule");
	refuse("default deny\nallow 10.0.0.0/33", "egress: 'allow 10.0.0.0/33' names no network");
	refuse("default deny\nallow 10.0.0.0/8 tcp/0; flush ruleset",
	       "egress: 'tcp/0;': '0;' is not a port or a range of ports (1 to 65535, the smaller "
	       "first)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_networks),
		cmocka_unit_test(test_ports),	 cmocka_unit_test(test_published),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
