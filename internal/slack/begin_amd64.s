// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

#define SYS_prctl         157
#define PR_SET_TIMERSLACK 29
#define PR_GET_TIMERSLACK 30
#define SLACK             1000000 // ns

// One who was given more, or of whom it cannot be known, keeps it.
TEXT ·begin(SB), NOSPLIT|NOFRAME, $0
	MOVQ $SYS_prctl, AX
	MOVQ $PR_GET_TIMERSLACK, DI
	SYSCALL
	CMPQ AX, $SLACK
	JCC  done
	MOVQ AX, ·initial(SB)
	MOVQ $SYS_prctl, AX
	MOVQ $PR_SET_TIMERSLACK, DI
	MOVQ $SLACK, SI
	SYSCALL
done:
	RET
