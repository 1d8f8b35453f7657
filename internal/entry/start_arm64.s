// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

DATA ·processors+0(SB)/8, $"GOMAXPRO"
DATA ·processors+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL ·processors(SB), RODATA|NOPTR, $16

#define SYS_prctl          167
#define PR_SET_TIMERSLACK  29
#define SLACK              100000000 // ns
#define SYS_prlimit64      261
#define RLIMIT_NOFILE      7
#define FEW_FILES          3

// What start_amd64.s does, and why, is told there.
TEXT ·startAlone(SB), NOSPLIT|NOFRAME, $0
	MOVD $SYS_prctl, R8
	MOVD $PR_SET_TIMERSLACK, R0
	MOVD $SLACK, R1
	MOVD ZR, R2
	MOVD ZR, R3
	MOVD ZR, R4
	SVC

	MOVD $SYS_prlimit64, R8
	MOVD ZR, R0
	MOVD $RLIMIT_NOFILE, R1
	MOVD ZR, R2
	MOVD $·openFiles(SB), R3
	SVC
	CBNZ R0, limited
	MOVD ·openFiles+8(SB), R2
	CMP  $(FEW_FILES+2), R2
	BLO  limited
	MOVD R2, ·fewFiles+8(SB)
	MOVD $FEW_FILES, R2
	MOVD R2, ·fewFiles+0(SB)
	MOVD $·fewFiles(SB), R2
	MOVD ZR, R3
	SVC
limited:
	B    ·start(SB)

// The stack stays on 16 bytes, which every access to it wants here: the words from
// argc to the environment's last go down by two, and the variable takes both places
// that are free then. Of two of one name Go takes the first.
TEXT ·start(SB), NOSPLIT|NOFRAME, $0
	BL   github·com∕unitc∕unitc∕internal∕slack·begin(SB)
	MOVD ·memProfileRate(SB), R0
	MOVD ZR, (R0)
	MOVD RSP, R1
	MOVD (R1), R0
	ADD  $16, R1, R2 // behind argc, argv and its end
	ADD  R0<<3, R2
count:
	MOVD (R2), R0
	CBZ  R0, move
	ADD  $8, R2
	B    count
move:
	SUB  $16, R1, R3
	MOVD R3, RSP
each:
	MOVD.P 8(R1), R0
	MOVD.P R0, 8(R3)
	CMP  R2, R1
	BNE  each
	MOVD $·processors(SB), R0
	MOVD R0, (R3)
	MOVD R0, 8(R3)
	B    _rt0_arm64_linux(SB)
