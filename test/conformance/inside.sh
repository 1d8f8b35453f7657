#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every program, or those that are named, on every runtime. Most print "ok" and "not ok"; some only
# complain: with an "error:" of their own, or by their status. So pass is a status of 0 and no complaint; skip is a
# program that says SKIP and nothing else. What a failing one said of unitc is kept for reading.
# RUNTIMES in the environment names others than the three.
cd /root/conformance || exit 1
runtimes=${RUNTIMES:-/usr/local/bin/unitc-runtime /usr/sbin/runc /usr/bin/crun}
[ $# -gt 0 ] || set -- *
head='| program |' line='|---|'
for runtime in $runtimes; do head="$head ${runtime##*/} |" line="$line---|"; done
echo "$head"
echo "$line"
failures=$(mktemp)
for program; do
	case $program in *.*|runtimetest) continue;; esac
	row="| $program |"
	for runtime in $runtimes; do
		# killsig signals a shell that may not have set its trap yet, pidfile kills a process that may have
		# ended by itself, poststart compares who writes first, the program or a hook beside it: three tries.
		for try in 1 2 3; do
			out=$(RUNTIME=$runtime timeout 60 "./$program" 2>&1 </dev/null)
			status=$?
			# A diagnosis below an "ok" explains what was expected.
			complaint=$(echo "$out" | awk '/^ *not ok/ {bad=1} /^ *ok/ {fine=1} /^    *"error": / && !fine {bad=1} END {print bad+0}')
			good=$(echo "$out" | grep -v '# SKIP' | grep -c '^ *ok')
			skip=$(echo "$out" | grep -c '^ *ok.*# SKIP')
			case $status$complaint.$program in
			00.*) break;;
			*.killsig|*.pidfile|*.poststart) ;;
			*) break;;
			esac
		done
		if [ "$status$complaint" != 00 ]; then
			row="$row FAIL |"
			[ "$runtime" = /usr/local/bin/unitc-runtime ] && echo "$program ($status): $out" | sed '/^ *ok/d' | sed -n 1,400p >>"$failures"
		elif [ "$good" = 0 ] && [ "$skip" != 0 ]; then
			row="$row skip |"
		else
			row="$row pass |"
		fi
	done
	echo "$row"
done
echo; cat "$failures"; rm "$failures"
