#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Policies, published ports and address translation, with VMs that are namespaces behind real taps:
# tests/system/policy_driver.c.
exec "${STOKER_BUILD:-build}/tests/policy_driver"
