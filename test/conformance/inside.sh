#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every program, or those that are named, on every runtime. Most print "ok" and "not ok"; some only
# complain: with an "error:" of their own, or by their status. So pass is a status of 0 and no complaint; skip is a
# program that says SKIP and nothing else. What a failing one said of unitc is kept for reading.
cd /root/conformance || exit 1
runtimes='/usr/local/bin/unitc-runtime /usr/sbin/runc /usr/bin/crun'
[ $# -gt 0 ] || set -- *
echo '| program | unitc-runtime | runc | crun |'
echo '|---|---|---|---|'
: >failures
for program; do
	case $program in *.*|runtimetest|failures) continue;; esac
	row="| $program |"
	for runtime in $runtimes; do
		# killsig signals a shell that may not have set its trap yet, pidfile kills a process that may have
		# ended by itself: each has three tries.
		for try in 1 2 3; do
			out=$(RUNTIME=$runtime timeout 60 "./$program" 2>&1 </dev/null)
			status=$?
			# A diagnosis below an "ok" explains what was expected.
			complaint=$(echo "$out" | awk '/^ *not ok/ {bad=1} /^ *ok/ {fine=1} /^    *"error": / && !fine {bad=1} END {print bad+0}')
			good=$(echo "$out" | grep -v '# SKIP' | grep -c '^ *ok')
			skip=$(echo "$out" | grep -c '^ *ok.*# SKIP')
			case $status$complaint.$program in
			00.*) break;;
			*.killsig|*.pidfile) ;;
			*) break;;
			esac
		done
		if [ "$status$complaint" != 00 ]; then
			row="$row FAIL |"
			[ "$runtime" = /usr/local/bin/unitc-runtime ] && echo "$program ($status): $out" | sed '/^ *ok/d' | sed -n 1,400p >>failures
		elif [ "$good" = 0 ] && [ "$skip" != 0 ]; then
			row="$row skip |"
		else
			row="$row pass |"
		fi
	done
	echo "$row"
done
echo; cat failures
