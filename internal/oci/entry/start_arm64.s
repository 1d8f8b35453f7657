// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

#define SYS_statfs        43
#define SYS_close         57
#define SYS_execveat      281
#define SYS_open_tree     428
#define SYS_mount_setattr 442

#define AT_FDCWD        -100
#define AT_EMPTY_PATH   0x1000
#define OPEN_TREE_FLAGS 0x80001 // OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
#define RDONLY          1       // MOUNT_ATTR_RDONLY
#define ST_RDONLY_BIT   0       // of statfs(2)

// Verbs as the bytes of their words, the end among them.
#define WORD_run    $0x006e7572
#define WORD_exec   $0x0000000063657865
#define WORD_create $0x0000657461657263
#define FIVE_BYTES  $0x000000ffffffffff
#define SEVEN_BYTES $0x00ffffffffffffff

DATA ·exe+0(SB)/8, $"/proc/se"
DATA ·exe+8(SB)/8, $"lf/exe\x00\x00"
GLOBL ·exe(SB), RODATA|NOPTR, $16

DATA ·empty+0(SB)/8, $"\x00\x00\x00\x00\x00\x00\x00\x00"
GLOBL ·empty(SB), RODATA|NOPTR, $8

DATA ·processors+0(SB)/8, $"GOMAXPRO"
DATA ·processors+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL ·processors(SB), RODATA|NOPTR, $16

// struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
DATA ·readonly+0(SB)/8, $RDONLY
DATA ·readonly+8(SB)/8, $0
DATA ·readonly+16(SB)/8, $0
DATA ·readonly+24(SB)/8, $0
GLOBL ·readonly(SB), RODATA|NOPTR, $32

// What start_amd64.s does, and why, is told there. System calls change R0 only. R19 is
// the stack as the kernel left it, R20 argc, R21 argv, R22 the mount's descriptor.
TEXT ·start(SB), NOSPLIT|NOFRAME, $0
	MOVD RSP, R19
	MOVD (R19), R20
	ADD  $8, R19, R21

	MOVD $1, R1
word:
	CMP  R20, R1
	BGE  begin
	MOVD (R21)(R1<<3), R2
	ADD  $1, R1
	CBZ  R2, begin
	MOVD (R2), R2
	MOVD WORD_run, R3
	CMPW R3, R2
	BEQ  seal
	AND  FIVE_BYTES, R2, R4
	MOVD WORD_exec, R3
	CMP  R3, R4
	BEQ  seal
	AND  SEVEN_BYTES, R2, R4
	MOVD WORD_create, R3
	CMP  R3, R4
	BNE  word

seal:
	// struct statfs has 120 bytes, f_flags at 80.
	SUB  $128, R19, R10
	MOVD R10, RSP
	MOVD $SYS_statfs, R8
	MOVD $·exe(SB), R0
	MOVD R10, R1
	SVC
	CBNZ R0, begin
	MOVD 80(R10), R2
	TBNZ $ST_RDONLY_BIT, R2, begin

	MOVD $SYS_open_tree, R8
	MOVD $AT_FDCWD, R0
	MOVD $·exe(SB), R1
	MOVD $OPEN_TREE_FLAGS, R2
	SVC
	TBNZ $63, R0, begin
	MOVD R0, R22

	MOVD $SYS_mount_setattr, R8
	MOVD $·empty(SB), R1
	MOVD $AT_EMPTY_PATH, R2
	MOVD $·readonly(SB), R3
	MOVD $32, R4
	SVC
	CBNZ R0, close

	// The environment is behind argv and its end. R6 counts it.
	ADD  $8, R21, R5
	ADD  R20<<3, R5
	MOVD ZR, R6
count:
	MOVD (R5)(R6<<3), R2
	CBZ  R2, copy
	ADD  $1, R6
	B    count
copy:
	// One more, the end, and the stack on 16 bytes.
	LSL  $3, R6, R2
	ADD  $31, R2
	AND  $~15, R2
	SUB  R2, R10
	MOVD R10, RSP
	ADD  R6<<3, R10, R2
	MOVD $·processors(SB), R3
	MOVD R3, (R2)
	MOVD ZR, 8(R2)
each:
	SUB  $1, R6
	TBNZ $63, R6, again
	MOVD (R5)(R6<<3), R2
	MOVD R2, (R10)(R6<<3)
	B    each

again:
	MOVD $SYS_execveat, R8
	MOVD R22, R0
	MOVD $·empty(SB), R1
	MOVD R21, R2
	MOVD R10, R3
	MOVD $AT_EMPTY_PATH, R4
	SVC

close:
	MOVD $SYS_close, R8
	MOVD R22, R0
	SVC

begin:
	MOVD R19, RSP
	BL   github·com∕unitc∕unitc∕internal∕slack·begin(SB)
	MOVD ·memProfileRate(SB), R0
	MOVD ZR, (R0) // as internal/entry
	B    _rt0_arm64_linux(SB)
