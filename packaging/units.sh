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
	# What they have left, networks among it.
	systemctl start --wait unitc-sweep.service || true
	systemctl stop unitc-idle.timer unitc-update.timer unitc-resolver.socket unitc-resolver.service 2>/dev/null || true
	systemctl stop unitc.slice 2>/dev/null || true
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
