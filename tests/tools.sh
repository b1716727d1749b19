#!/usr/bin/env bash
# Sees to the Debian packages whose commands the tests call: installs what is missing when root, or stops with the one
# command to type. With all of them there, it does nothing and needs no network.
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin" # a user's PATH on Debian lacks the folder of snmptrapd and ip

missing=()
need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null || [[ " ${missing[*]:-} " == *" $2 "* ]] || missing+=("$2")
}
need snmptrap snmp
need snmpinform snmp
need snmptrapd snmptrapd
need ip iproute2
need redis-cli redis-tools
need openssl openssl
need tcpdump tcpdump
need curl curl
need prometheus prometheus
need promtool prometheus
need prometheus-alertmanager prometheus-alertmanager
need amtool prometheus-alertmanager
need mosquitto mosquitto
need snmpd snmpd
need faketime faketime

[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
    echo "The tests need programs that are missing here. Type this, then make test again:" >&2
    echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

# snmptrapd's package starts a daemon on port 162 when it can, those of Prometheus on 9090 and 9093. The tests bind their own
# ports, so it does no harm; but a start that fails (a container without an init) must not fail the installation, and a policy
# file that is there already is the administrator's.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy" # 101: action forbidden by policy (invoke-rc.d's interface)
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends "${missing[@]}"

# Nor at the next start of the machine: Prometheus and Alertmanager would listen on all addresses.
for unit in prometheus prometheus-alertmanager mosquitto snmpd; do
    [[ " ${missing[*]} " == *" $unit "* ]] && systemctl disable --now "$unit" >/dev/null 2>&1 || true
done
