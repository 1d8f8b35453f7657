#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make try` shows, inside the throwaway machine: unitc is installed there,
# and the examples lie in /root/examples.
export SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 SYSTEMD_URLIFY=0
bold='' green='' plain=''
if [ -t 1 ]; then
	bold='\033[1m' green='\033[32m' plain='\033[0m' SYSTEMD_COLORS=1
fi

say() { printf "\n$bold# %s$plain\n" "$*"; }
show() {
	printf "$green$ %s$plain\n" "$*"
	"$@"
}

# A payload that was killed is back when systemd has counted its restart.
await_restart() {
	n=0
	until [ "$(systemctl show -P NRestarts "$1")" != "$2" ] && systemctl -q is-active "$1"; do
		n=$((n + 1))
		if [ $n = 300 ]; then
			echo "$1 was not restarted" >&2
			exit 1
		fi
		sleep 0.1
	done
}

set -e
say "$(systemctl --version | head -n1), kernel $(uname -r)"
say "Definitions in /etc/unitc become units when systemd reloads"
cp /root/examples/units/*.yaml /etc/unitc/
show cat /etc/unitc/hello.yaml
show systemctl daemon-reload
show systemctl start hello web worker@1 worker@2

say "They are units like any other"
show systemctl status --no-pager hello
show journalctl --no-pager -u hello
show systemctl list-units --no-pager --no-legend hello.service web.service 'worker@*' 'unitc*'
show busybox wget -qO- http://127.0.0.1:8080/Apache-2.0 | sed -n '1,5p'

say "A payload that is killed is started again"
before=$(systemctl show -P NRestarts hello)
show systemctl kill --kill-whom=main --signal=KILL hello
await_restart hello "$before"
show systemctl show -p NRestarts -p Result -p ActiveState hello
show journalctl --no-pager -n 6 -u hello

if [ "$UNITC_LAB" = vm ]; then
	say "A memory limit holds"
	cat >/etc/unitc/hog.yaml <<-END
		rootfs: host
		command: ["tail", "/dev/zero"]
		network_mode: none
		mem_limit: 64m
	END
	show cat /etc/unitc/hog.yaml
	show systemctl daemon-reload
	show systemctl start hog || true
	until systemctl -q is-failed hog; do sleep 0.5; done
	show systemctl status --no-pager hog || true
	show systemctl is-active hello web
fi

say "systemctl stop sends the stop signal and waits for the payload to end"
show systemctl stop hello
journalctl --sync
show journalctl --no-pager -n 4 -u hello
show systemctl start hello
