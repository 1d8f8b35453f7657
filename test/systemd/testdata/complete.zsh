# SPDX-License-Identifier: Apache-2.0
#
# complete.zsh LINE…: what a Tab behind each LINE offers, one a line, below the LINE.
# zsh completes at a terminal only, so another zsh gets one (zshmodules(1), zpty), and
# its rc file is this file too.
if [[ -z $FOUND ]]; then
	zmodload zsh/zpty
	export ZDOTDIR=$(mktemp -d) TERM=dumb
	export FOUND=$ZDOTDIR/found
	ln -s $0:A $ZDOTDIR/.zshrc
	zpty inner zsh --no-global-rcs --interactive
	zpty -r inner said '*<prompt>*' # it has read its rc file
	for line; do
		print -r -- "= $line" >>$FOUND
		zpty -w -n inner $'\x15'"$line"$'\t'
		zpty -r inner said '*<done>*'
	done
	zpty -d inner
	cat $FOUND
	rm -r $ZDOTDIR
	exit
fi
PS1='<prompt>'
autoload -Uz compinit && compinit -u -D
# Every match passes here; with -A, -D or -O words are only compared.
compadd() {
	local -a words
	if (( ! ${@[1,(i)--][(I)-[ADO]]} )); then
		builtin compadd -O words "$@"
		(( ! $#words )) || print -rl -- $words >>$FOUND
	fi
	builtin compadd "$@"
}
look() {
	_main_complete
	print -n '<done>' >$TTY
}
zle -C look complete-word look
bindkey -e '^I' look
