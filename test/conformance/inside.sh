#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every program on every runtime: pass is a status of 0 without "not ok"
# and with at least one "ok"; skip is all "ok # SKIP". What a failing one said of unitc is kept for reading.
cd /root/conformance || exit 1
runtimes='/usr/local/bin/unitc-runtime /usr/sbin/runc /usr/bin/crun'
echo '| program | unitc-runtime | runc | crun |'
echo '|---|---|---|---|'
for program in *; do
	case $program in *.*|runtimetest) continue;; esac
	row="| $program |"
	for runtime in $runtimes; do
		out=$(RUNTIME=$runtime timeout 60 "./$program" 2>&1 </dev/null)
		status=$?
		bad=$(echo "$out" | grep -c '^ *not ok')
		good=$(echo "$out" | grep -v '# SKIP' | grep -c '^ *ok')
		if [ "$status$bad" != 00 ]; then
			row="$row FAIL |"
			[ "$runtime" = /usr/local/bin/unitc-runtime ] && echo "$program ($status): $out" | sed '/^ *ok/d' | sed -n 1,30p >>failures
		elif [ "$good" != 0 ]; then
			row="$row pass |"
		else
			row="$row skip |"
		fi
	done
	echo "$row"
done
echo; cat failures
