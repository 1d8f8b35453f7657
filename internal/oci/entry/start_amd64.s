// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

#define SYS_close         3
#define SYS_statfs        137
#define SYS_execveat      322
#define SYS_open_tree     428
#define SYS_mount_setattr 442

#define AT_FDCWD        -100
#define AT_EMPTY_PATH   0x1000
#define OPEN_TREE_FLAGS 0x80001 // OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
#define RDONLY          1       // MOUNT_ATTR_RDONLY, and ST_RDONLY of statfs(2)

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

// With one processor Go starts fewer threads, as runtime.Seal has it.
DATA ·processors+0(SB)/8, $"GOMAXPRO"
DATA ·processors+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL ·processors(SB), RODATA|NOPTR, $16

// struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
DATA ·readonly+0(SB)/8, $RDONLY
DATA ·readonly+8(SB)/8, $0
DATA ·readonly+16(SB)/8, $0
DATA ·readonly+24(SB)/8, $0
GLOBL ·readonly(SB), RODATA|NOPTR, $32

// Kept across system calls, which change AX, CX and R11 only: R12 the stack as
// the kernel left it, R13 argc, R14 argv, BX the mount's descriptor.
TEXT ·start(SB), NOSPLIT|NOFRAME, $0
	MOVQ SP, R12
	MOVQ 0(SP), R13
	LEAQ 8(SP), R14

	// Is one of the words a verb that has a payload? An id may be called so
	// too: then a start is paid for that was not needed. Eight bytes can be
	// read of each word: behind the last one are the program's name and zeros.
	MOVQ $1, CX
word:
	CMPQ CX, R13
	JGE  begin
	MOVQ (R14)(CX*8), SI
	INCQ CX
	TESTQ SI, SI
	JZ   begin
	MOVQ (SI), AX
	CMPL AX, WORD_run
	JEQ  seal
	MOVQ AX, DX
	MOVQ FIVE_BYTES, DI
	ANDQ DI, DX
	MOVQ WORD_exec, DI
	CMPQ DX, DI
	JEQ  seal
	MOVQ SEVEN_BYTES, DI
	ANDQ DI, AX
	MOVQ WORD_create, DI
	CMPQ AX, DI
	JNE  word

seal:
	// struct statfs has 120 bytes, f_flags at 80. A program that cannot be
	// looked at, or is on a read-only mount already, begins.
	SUBQ $128, SP
	MOVQ $SYS_statfs, AX
	LEAQ ·exe(SB), DI
	MOVQ SP, SI
	SYSCALL
	TESTQ AX, AX
	JNZ  begin
	TESTQ $RDONLY, 80(SP)
	JNZ  begin

	MOVQ $SYS_open_tree, AX
	MOVQ $AT_FDCWD, DI
	LEAQ ·exe(SB), SI
	MOVQ $OPEN_TREE_FLAGS, DX
	SYSCALL
	TESTQ AX, AX
	JLT  begin
	MOVQ AX, BX

	MOVQ $SYS_mount_setattr, AX
	MOVQ BX, DI
	LEAQ ·empty(SB), SI
	MOVQ $AT_EMPTY_PATH, DX
	LEAQ ·readonly(SB), R10
	MOVQ $32, R8
	SYSCALL
	TESTQ AX, AX
	JNZ  close

	// The environment is behind argv and its end. CX counts it.
	LEAQ 8(R14)(R13*8), SI
	XORQ CX, CX
count:
	CMPQ (SI)(CX*8), $0
	JEQ  copy
	INCQ CX
	JMP  count
copy:
	// One more, the end, and the stack on 16 bytes.
	LEAQ 31(CX*8), AX
	ANDQ $~15, AX
	SUBQ AX, SP
	LEAQ ·processors(SB), AX
	MOVQ AX, (SP)(CX*8)
	MOVQ $0, 8(SP)(CX*8)
each:
	DECQ CX
	JLT  again
	MOVQ (SI)(CX*8), AX
	MOVQ AX, (SP)(CX*8)
	JMP  each

again:
	MOVQ $SYS_execveat, AX
	MOVQ BX, DI
	LEAQ ·empty(SB), SI
	MOVQ R14, DX
	MOVQ SP, R10
	MOVQ $AT_EMPTY_PATH, R8
	SYSCALL

close:
	MOVQ $SYS_close, AX
	MOVQ BX, DI
	SYSCALL

begin:
	MOVQ R12, SP
	CALL github·com∕unitc∕unitc∕internal∕slack·begin(SB)
	XORL DX, DX // no function for the end (3.4.1, rdx)
	MOVQ ·memProfileRate(SB), AX
	MOVQ $0, (AX) // as internal/entry
	JMP  _rt0_amd64_linux(SB)
