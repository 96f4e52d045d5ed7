/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks after the taps that net.c has made: counts, samples what the guard tells, and each second
 * makes sure that the guard is where it belongs. A guard that somebody took away is put back with
 * the link down; a tap that cannot be guarded is reported as lost.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/net_internal.h"

enum {
	TICK_MS = 1000,
	TOLD_INTERVAL_MS = 1000,  /* between two drops of a VM */
	NEWS_INTERVAL_MS = 60000, /* between two lines of the log about a VM */
	TOLD_MAX = 20,		  /* drops between two ticks, of all VMs */
};

_Static_assert((int)NET_HEAD_MAX == (int)GUARD_HEAD_MAX, "one length of samples");

const char *net_event_name(enum net_event_kind kind)
{
	static const char *const names[NET_EVENT_KINDS] = {
		[NET_EVENT_DROP] = "drop",
		[NET_EVENT_REPAIRED] = "repaired",
		[NET_EVENT_LOST] = "lost",
		[NET_EVENT_SHIELD_RAISED] = "shield raised",
		[NET_EVENT_SHIELD_LOWERED] = "shield lowered",
		[NET_EVENT_SHIELD_REFUSED] = "shield refused",
	};

	return kind < NET_EVENT_KINDS ? names[kind] : "?";
}

void keep_add(struct net *net, const struct net_tap *tap)
{
	struct kept *kept = net->kept[tap->slot];

	if (!kept) {
		kept = net->kept[tap->slot] = xcalloc(1, sizeof(*kept));
		kept->shield_link = -1;
		net->kept_count++;
	}
	memmove(kept->name, tap->name, strlen(tap->name) + 1); /* it may be the same */
	kept->tap = *tap;
	kept->tap.name = kept->name;
	kept->tap.egress = kept->tap.ingress = kept->tap.ports = NULL; /* nat.c's to remember */
}

void keep_drop(struct net *net, uint32_t slot)
{
	if (slot >= NET_SLOTS_MAX || !net->kept[slot])
		return;
	if (net->kept[slot]->shield_link >= 0)
		close(net->kept[slot]->shield_link);
	free(net->kept[slot]);
	net->kept[slot] = NULL;
	net->kept_count--;
}

void keep_close(struct net *net)
{
	watch_free(net->ticker);
	watch_free(net->listener);
	for (uint32_t slot = 0; slot < NET_SLOTS_MAX; slot++)
		keep_drop(net, slot);
}

static uint64_t realtime_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- what the guard tells ----------------------------------------------------------------------
 */

#define REASON_TEXT(name, word, drop) word,

static bool is_due(uint64_t *last_ms, uint64_t now_ms, uint64_t interval_ms)
{
	if (*last_ms && now_ms - *last_ms < interval_ms)
		return false;
	*last_ms = now_ms;
	return true;
}

static void on_told(void *data, const struct guard_event *record)
{
	static const char *const reasons[] = { GUARD_REASONS(REASON_TEXT) };
	struct net *net = data;
	struct kept *kept = record->slot < NET_SLOTS_MAX ? net->kept[record->slot] : NULL;
	uint64_t now_ms = loop_now_ms(), age_ms;
	struct net_event *event;

	/* Of a tap that is gone, or of another version of the program. */
	if (!kept || record->reason >= GUARD_REASON_COUNT)
		return;
	age_ms = now_ms - record->time_ns / 1000000;
	event = &kept->events[kept->event_count++ % NET_EVENTS_KEPT];
	*event = (struct net_event){
		.kind = NET_EVENT_DROP,
		.slot = record->slot,
		.time_ms = realtime_ms() - (age_ms < UINT32_MAX ? age_ms : 0),
		.message = "",
		.reason = reasons[record->reason],
		.is_to_guest = record->direction == GUARD_TO_GUEST,
		.frame_bytes = record->frame_bytes,
		.head_bytes = record->head_bytes <= NET_HEAD_MAX ? record->head_bytes : 0,
	};
	memcpy(event->head, record->head, event->head_bytes);
	if (net->told_since_tick >= TOLD_MAX || !is_due(&kept->told_ms, now_ms, TOLD_INTERVAL_MS))
		return;
	net->told_since_tick++;
	event->is_news = is_due(&kept->news_ms, now_ms, NEWS_INTERVAL_MS);
	net->told(net->told_data, event);
}

static void on_readable(struct watch *watch, unsigned events, void *data)
{
	struct net *net = data;

	(void)watch, (void)events;
	guard_hear(net->guard);
}

/* --- each second -------------------------------------------------------------------------------
 */

static void tell(struct net *net, uint32_t slot, enum net_event_kind kind, const char *message)
{
	const struct net_event event = { .kind = kind,
					 .slot = slot,
					 .time_ms = realtime_ms(),
					 .is_news = true,
					 .message = message,
					 .reason = "" };

	if (net->told)
		net->told(net->told_data, &event);
}

static void sample(struct net *net, uint32_t slot, uint64_t elapsed_ms)
{
	struct kept *kept = net->kept[slot];
	struct guard_counts now;

	if (guard_counts_read(net->guard, slot, &now, NULL) < 0)
		return;
	for (size_t i = 0; i < GUARD_REASON_COUNT; i++)
		kept->per_second[i] = kept->is_counted && elapsed_ms
					      ? (now.packets[i] - kept->counts.packets[i]) * 1000 /
							elapsed_ms
					      : 0;
	kept->counts = now;
	kept->is_counted = true;
}

/* What the shield knows: the others are not its business, and it must not rise for them. */
static uint64_t hostile_per_second(const struct kept *kept)
{
	static const enum guard_reason known[] = {
		GUARD_VLAN,	  GUARD_SOURCE_MAC,	GUARD_DESTINATION_MAC, GUARD_ETHERTYPE,
		GUARD_IP_OPTIONS, GUARD_SOURCE_ADDRESS, GUARD_RESERVED,	       GUARD_LINK_LOCAL,
		GUARD_MULTICAST,  GUARD_BROADCAST
	};
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		sum += kept->per_second[known[i]];
	return sum;
}

static void raise_shield(struct net *net, struct kept *kept, uint64_t per_second)
{
	struct error err = { 0 };
	char message[64];

	if (guard_raise_shield(net->guard, kept->name, if_nametoindex(kept->name),
			       &kept->shield_link, &err) < 0) {
		tell(net, kept->tap.slot, NET_EVENT_SHIELD_REFUSED, err.text);
		return;
	}
	snprintf(message, sizeof(message), "%llu hostile frames a second",
		 (unsigned long long)per_second);
	tell(net, kept->tap.slot, NET_EVENT_SHIELD_RAISED, message);
}

static void lower_shield(struct net *net, struct kept *kept)
{
	if (kept->shield_link < 0)
		return;
	close(kept->shield_link);
	kept->shield_link = -1;
	tell(net, kept->tap.slot, NET_EVENT_SHIELD_LOWERED, "the flood is over");
}

static void shield(struct net *net, struct kept *kept)
{
	uint64_t per_second = hostile_per_second(kept);

	if (!net->has_shields)
		return;
	switch (shield_decide(&kept->shield, per_second)) {
	case SHIELD_STAY:
		break;
	case SHIELD_RAISE:
		raise_shield(net, kept, per_second);
		break;
	case SHIELD_LOWER:
		lower_shield(net, kept);
		break;
	}
}

/* Everything that makes it a guarded tap, still? */
static bool is_whole(struct net *net, const struct kept *kept, struct error *err)
{
	unsigned ifindex = if_nametoindex(kept->name);
	struct guard_vm vm;

	if (net_make_vm(&kept->tap, &vm, err) < 0)
		return false;
	if (!ifindex)
		error_set(err, "the tap is gone");
	else if (!guard_has_vm(net->guard, ifindex, &vm))
		error_set(err, "the guard's entry was changed");
	else if (!guard_is_attached(net->guard, kept->name, ifindex))
		error_set(err, "the guard was taken off");
	else
		return true;
	return false;
}

static void check(struct net *net, uint32_t slot)
{
	struct kept *kept = net->kept[slot];
	char message[sizeof(((struct error *)0)->text)];
	struct error why = { 0 }, err = { 0 };

	if (kept->is_lost || is_whole(net, kept, &why))
		return;
	if (net_mend_tap(net, &kept->tap, &err) == 0) {
		tell(net, slot, NET_EVENT_REPAIRED, why.text);
		return;
	}
	kept->is_lost = true;
	snprintf(message, sizeof(message), "%.200s: %.700s", why.text, err.text);
	tell(net, slot, NET_EVENT_LOST, message);
}

void net_tick(struct net *net, uint64_t now_ms)
{
	uint64_t elapsed_ms = net->ticked_ms ? now_ms - net->ticked_ms : 0;

	net->ticked_ms = now_ms;
	net->told_since_tick = 0;
	for (uint32_t slot = 0; slot < NET_SLOTS_MAX; slot++) {
		if (net->kept[slot])
			sample(net, slot, elapsed_ms);
		if (net->kept[slot])
			shield(net, net->kept[slot]);
		if (net->kept[slot])
			check(net, slot);
	}
}

/* One a second: each takes some 30 ms of the daemon's time. Without VMs there is no stock. */
static void stock(struct net *net)
{
	if (!net->kept_count)
		pool_drain(net);
	else if (pool_fill(net, NULL) < 0)
		return; /* the VM that needs one says why */
}

static void on_tick(struct watch *watch, unsigned events, void *data)
{
	(void)events;
	net_tick(data, loop_now_ms());
	stock(data);
	watch_rearm(watch, TICK_MS);
}

int net_watch(struct net *net, struct loop *loop, net_event_fn *told, void *data, struct error *err)
{
	int fd;

	net->told = told;
	net->told_data = data;
	if (guard_listen(net->guard, on_told, net, &fd, err) < 0)
		return error_wrap(err, "network");
	net->listener = loop_io(loop, fd, LOOP_READ, on_readable, net);
	net->ticker = loop_timer(loop, TICK_MS, on_tick, net);
	return 0;
}

/* --- questions ---------------------------------------------------------------------------------
 */

#define REASON_COUNTER(reason, word, drop) { .name = word, .is_drop = drop },

int net_counters_read(struct net *net, uint32_t slot, struct net_counters *ret, struct error *err)
{
	static const struct net_counter counters[] = { GUARD_REASONS(REASON_COUNTER) };
	struct guard_counts counts;

	_Static_assert(sizeof(counters) / sizeof(counters[0]) <= NET_COUNTERS_MAX,
		       "more reasons than counters");
	if (slot >= GUARD_SLOTS_MAX)
		return error_set(err, "guard: slot %u: the guard counts for %u VMs", slot,
				 (unsigned)GUARD_SLOTS_MAX);
	if (guard_counts_read(net->guard, slot, &counts, err) < 0)
		return -1;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->items, counters, sizeof(counters));
	ret->count = sizeof(counters) / sizeof(counters[0]);
	for (size_t i = 0; i < ret->count; i++) {
		ret->items[i].packets = counts.packets[i];
		if (net->kept[slot])
			ret->items[i].per_second = net->kept[slot]->per_second[i];
	}
	ret->accepted_bytes = counts.bytes;
	ret->delivered_bytes = counts.delivered_bytes;
	ret->shielded = counts.shielded;
	ret->attachment = guard_attachment(net->guard);
	return 0;
}

static void add_address(struct address_list *list, int family, const void *bytes)
{
	static const uint8_t none[16];
	struct address *address = &list->items[list->count];
	size_t size = family == 4 ? 4 : 16;

	if (memcmp(bytes, none, size) == 0)
		return;
	*address = (struct address){ .family = (uint8_t)family };
	memcpy(address->bytes, bytes, size);
	list->count++;
}

static int read_policy(struct net *net, const struct kept *kept, struct net_view *ret,
		       struct error *err)
{
	unsigned ifindex = if_nametoindex(kept->name);
	struct guard_vm vm;

	if (!ifindex)
		return error_set(err, "tap '%s': gone", kept->name);
	if (guard_read_vm(net->guard, ifindex, &vm, err) < 0)
		return -1;
	memcpy(ret->mac, vm.mac, sizeof(ret->mac));
	ret->tenant_id = vm.tenant;
	ret->mtu = vm.mtu;
	ret->rate_bits = vm.rate_bits;
	ret->rate_packets = vm.rate_packets;
	for (size_t i = 0; i < GUARD_IP4_MAX; i++)
		add_address(&ret->addresses, 4, &vm.ip4[i]);
	for (size_t i = 1; i < GUARD_IP6_MAX; i++)
		add_address(&ret->addresses, 6, vm.ip6[i]);
	return 0;
}

int net_view_read(struct net *net, uint32_t slot, struct net_view *ret, struct error *err)
{
	const struct kept *kept = slot < NET_SLOTS_MAX ? net->kept[slot] : NULL;
	uint64_t first;

	memset(ret, 0, sizeof(*ret));
	if (!kept)
		return error_set(err, "it has no tap now");
	if (net_counters_read(net, slot, &ret->counters, err) < 0 ||
	    read_policy(net, kept, ret, err) < 0)
		return -1;
	ret->has_shield = kept->shield_link >= 0;
	first = kept->event_count > NET_EVENTS_KEPT ? kept->event_count - NET_EVENTS_KEPT : 0;
	for (uint64_t i = first; i < kept->event_count; i++)
		ret->events[ret->event_count++] = &kept->events[i % NET_EVENTS_KEPT];
	return 0;
}
