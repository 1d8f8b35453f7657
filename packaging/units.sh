# SPDX-License-Identifier: Apache-2.0
# What ends before its programs are removed: for packaging/installer, and for
# the packages' prerm, which begins with this text.

# Units of ours are known by their first line (systemd.generator(7) asks
# generators to sign there); their files, not their names, say so.
generated_units() {
	grep -lsE '^# .*unitc-generator' /run/systemd/generator*/*.service /run/systemd/generator*/*.target \
		/run/systemd/generator*/*.socket /run/systemd/generator*/*.timer /run/systemd/generator*/*.mount 2>/dev/null | sed 's,.*/,,' | sort -u
}

# An instance has no file of its own, so templates are stopped by pattern.
stop_units() {
	generated_units | sed 's/@\./@*./' | while read -r unit; do
		systemctl stop "$unit" || echo "stopping $unit: left to you" >&2
		# A failed unit would be listed for as long as the system runs.
		systemctl reset-failed "$unit" 2>/dev/null || true
	done
	stop_users
	# What they have left, networks among it.
	systemctl stop unitc-sweep.timer 2>/dev/null || true
	systemctl start --wait unitc-sweep.service || true
	systemctl disable --now unitc-metrics.socket unitc-host-names.socket 2>/dev/null || true
	systemctl stop 'unitc-metrics@*.service' unitc-idle.timer unitc-update.timer unitc-resolver.socket unitc-resolver.service unitc-host-names.service 2>/dev/null || true
	systemctl stop unitc.slice 2>/dev/null || true
}

# Containers of users whose systemd runs: each is asked as the user, whose files may be
# anything. The user can take over what runs as them: it has no terminal and no pipe of ours.
stop_users() {
	for dir in /run/user/*/unitc; do
		uid=${dir#/run/user/} uid=${uid%/unitc}
		gid=$(id -g "$uid" 2>/dev/null) && [ "$uid" -gt 0 ] 2>/dev/null || continue
		systemctl_of stop unitc-update.timer unitc-idle.timer unitc.slice || echo "stopping the containers of user $uid: left to them" >&2
		# unitc.slice has taken with it what sweeps when all have stopped.
		systemctl_of stop unitc-sweep.timer unitc-sweep.service unitc-postmortem.service || true
	done
}

systemctl_of() {
	timeout -k 5 120 setsid -w setpriv --reuid="$uid" --regid="$gid" --clear-groups env -i "XDG_RUNTIME_DIR=/run/user/$uid" PATH=/usr/bin:/bin \
		systemctl --user "$@" </dev/null >/dev/null 2>&1
}

# What `unitc enable` and `unitc disable` have made: links of units that will
# be gone.
remove_links() {
	generated_units | sed 's/@\./@*./' | while read -r unit; do
		for link in /etc/systemd/system/*.wants/$unit /etc/systemd/system/*.requires/$unit /etc/systemd/system/*.upholds/$unit; do
			case $(readlink "$link") in
			/run/systemd/generator.late/* | /dev/null)
				rm -f "$link"
				rmdir "${link%/*}" 2>/dev/null || true
				;;
			esac
		done
	done
}
