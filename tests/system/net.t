#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Taps, guard and rules of a host, in namespaces of the test's own: tests/system/net_driver.c.
exec "${STOKER_BUILD:-build}/tests/net_driver"
