# SPDX-License-Identifier: Apache-2.0
#
# complete.bash LINE…: what a Tab behind each LINE offers, one a line, below the LINE.
# bash-completion finds the script of the first word's program by itself.
source /usr/share/bash-completion/bash_completion
compopt() { :; } # it fails outside of a completion, aloud
for line; do
	echo "= $line"
	read -ra COMP_WORDS <<<"$line"
	case $line in *' ') COMP_WORDS+=('') ;; esac
	COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9 COMP_KEY=9 COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_comp_load "${COMP_WORDS[0]}" || exit 1
	function=$(complete -p "${COMP_WORDS[0]}" | sed 's/.* -F \([^ ]*\).*/\1/')
	$function "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
	# Where there is a choice bash is given descriptions to show.
	[ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]%% *}"
done
