// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

#define SYS_prctl         167
#define PR_SET_TIMERSLACK 29
#define PR_GET_TIMERSLACK 30
#define SLACK             1000000 // ns

// What begin_amd64.s does.
TEXT ·begin(SB), NOSPLIT|NOFRAME, $0
	MOVD $SYS_prctl, R8
	MOVD $PR_GET_TIMERSLACK, R0
	SVC
	MOVD $SLACK, R1
	CMP  R1, R0
	BHS  done // a negative number, an error, is above it, too
	MOVD R0, ·initial(SB)
	MOVD $PR_SET_TIMERSLACK, R0
	SVC
done:
	RET
