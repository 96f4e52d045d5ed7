/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What guards do, in words: the answer of `guard`, and the events that guards tell. The beginning
 * of a frame goes on as hexadecimal digits: what a guest wrote is read by stokerctl, not here.
 */
#include <stdio.h>
#include <string.h>

#include "control/client.h"

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static void set_number(json_t *object, const char *key, uint64_t value)
{
	set(object, key, json_integer((json_int_t)value));
}

static json_t *hex(const uint8_t *bytes, size_t count)
{
	char text[2 * NET_HEAD_MAX + 1] = "";

	for (size_t i = 0; i < count && i < NET_HEAD_MAX; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return json_string(text);
}

static void describe_event(json_t *object, const struct net_event *event)
{
	set(object, "guard", json_string(net_event_name(event->kind)));
	if (event->kind != NET_EVENT_DROP) {
		set(object, "message", protocol_text(event->message, strlen(event->message)));
		return;
	}
	set(object, "reason", json_string(event->reason));
	set(object, "to_guest", json_boolean(event->is_to_guest));
	set_number(object, "bytes", event->frame_bytes);
	set(object, "frame", hex(event->head, event->head_bytes));
}

void events_add_guard(struct events *events, const char *name, const struct net_event *event)
{
	json_t *object = events_begin(events, event->time_ms, name);

	describe_event(object, event);
	events_end(events, object, event->kind == NET_EVENT_DROP);
}

static json_t *describe_counters(const struct net_counters *counters)
{
	json_t *list = json_array();

	for (size_t i = 0; i < counters->count; i++) {
		const struct net_counter *counter = &counters->items[i];
		json_t *object = json_object();

		set(object, "name", json_string(counter->name));
		set_number(object, "packets", counter->packets);
		set(object, "drop", json_boolean(counter->is_drop));
		set_number(object, "per_second", counter->per_second);
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *describe_policy(const struct net_view *view, const struct net_policy *rules)
{
	json_t *object = json_object(), *addresses = json_array();
	char text[ADDRESS_TEXT_MAX], mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", view->mac[0], view->mac[1],
		 view->mac[2], view->mac[3], view->mac[4], view->mac[5]);
	for (uint32_t i = 0; i < view->addresses.count; i++)
		json_array_append_new(addresses,
				      json_string(address_format(&view->addresses.items[i], text)));
	set(object, "mac", json_string(mac));
	set(object, "addresses", addresses);
	set_number(object, "tenant", view->tenant_id);
	set_number(object, "mtu", view->mtu);
	set_number(object, "rate_bits", view->rate_bits);
	set_number(object, "rate_packets", view->rate_packets);
	set(object, "egress", json_from_strv(&rules->egress));
	set(object, "ingress", json_from_strv(&rules->ingress));
	set(object, "ports", json_from_strv(&rules->ports));
	return object;
}

static json_t *describe_events(const struct net_view *view)
{
	json_t *list = json_array();

	for (size_t i = 0; i < view->event_count; i++) {
		json_t *object = json_object();

		set_number(object, "time_ms", view->events[i]->time_ms);
		describe_event(object, view->events[i]);
		json_array_append_new(list, object);
	}
	return list;
}

int guard_start(struct client *client, struct error *err)
{
	const char *name = client->job.request.name;
	struct net_policy rules = { 0 };
	struct net_view view = { 0 };
	json_t *object;

	if (roster_guard(client->control->roster, name, &view, err) < 0 ||
	    roster_policy(client->control->roster, name, &rules, err) < 0)
		return -1;
	object = json_object();
	set(object, "name", json_string(name));
	set(object, "attachment",
	    json_string(view.counters.attachment ? view.counters.attachment : ""));
	set_number(object, "accepted_bytes", view.counters.accepted_bytes);
	set_number(object, "delivered_bytes", view.counters.delivered_bytes);
	set_number(object, "shielded", view.counters.shielded);
	set(object, "shield", json_boolean(view.has_shield));
	set(object, "policy", describe_policy(&view, &rules));
	set(object, "counters", describe_counters(&view.counters));
	set(object, "events", describe_events(&view));
	net_policy_reset(&rules);
	client_send(client, "guard", object);
	return 0;
}
