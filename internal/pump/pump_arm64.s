// SPDX-License-Identifier: Apache-2.0

#include "textflag.h"

// What pump_amd64.s does. Constants of 64 bits are put together from instructions:
// the assembler would have them behind the function, which is not copied.
TEXT ·program(SB),NOSPLIT|NOFRAME,$0-0
	MOVZ	$0x6e75, R9        // "un", name in pump.go
	MOVK	$(0x7469<<16), R9  // "it"
	MOVK	$(0x2d63<<32), R9  // "c-"
	MOVK	$(0x6572<<48), R9  // "re"
	MOVZ	$0x616c, R10       // "la"
	MOVK	$(0x0079<<16), R10 // "y"
	SUB	$16, RSP
	STP	(R9, R10), (RSP)
	MOVD	RSP, R1
	MOVD	$15, R0  // PR_SET_NAME
	MOVD	$167, R8 // prctl
	SVC
read:
	MOVD	ZR, R0
	MOVZ	$(0x1000<<16), R1 // bufferAt
	MOVZ	$(0x2<<16), R2    // bufferSize
	MOVD	$63, R8
	SVC
	CMN	$4, R0 // EINTR
	BEQ	read
	CBZ	R0, exit
	TBNZ	$63, R0, fail
	MOVZ	$(0x1000<<16), R19
	MOVD	R0, R20
write:
	MOVD	$1, R0
	MOVD	R19, R1
	MOVD	R20, R2
	MOVD	$64, R8
	SVC
	CMN	$4, R0
	BEQ	write
	CMP	$0, R0
	BLE	keep
	ADD	R0, R19
	SUBS	R0, R20
	BNE	write
	B	read
keep:
	MOVD	RSP, R0 // the name
	MOVD	ZR, R1
	MOVD	$279, R8 // memfd_create
	SVC
	MOVD	R19, R1
	MOVD	R20, R2
	MOVD	$64, R8
	SVC
	CMP	R20, R0
	BNE	fail
	MOVD	RSP, R9
	MOVZ	$(0x800<<16), R10
	ADD	$0x1e8, R10, R10 // the verb: behind the header and textSize
	SUB	$32, RSP
	STP	(R9, R10), (RSP)
	STP	(ZR, ZR), 16(RSP)
	ADD	$4, R10, R0 // the path is behind the verb
	MOVD	RSP, R1
	ADD	$16, RSP, R2
	MOVD	$221, R8 // execve
	SVC
fail:
	MOVD	$1, R0
exit:
	MOVD	$94, R8 // exit_group
	SVC
	BRK

// func address() unsafe.Pointer
TEXT ·address(SB),NOSPLIT,$0-8
	MOVD	$·program(SB), R0
	MOVD	R0, ret+0(FP)
	RET

// What watch in pump_amd64.s does.
TEXT ·watch(SB),NOSPLIT|NOFRAME,$0-0
	MOVZ	$0x6e75, R9        // "un", watchName in pump.go
	MOVK	$(0x7469<<16), R9  // "it"
	MOVK	$(0x2d63<<32), R9  // "c-"
	MOVK	$(0x6177<<48), R9  // "wa"
	MOVZ	$0x6374, R10       // "tc"
	MOVK	$(0x0068<<16), R10 // "h"
	SUB	$16, RSP
	STP	(R9, R10), (RSP)
	MOVD	RSP, R19 // the name
	MOVD	RSP, R1
	MOVD	$15, R0  // PR_SET_NAME
	MOVD	$167, R8 // prctl
	SVC
	SUB	$16, RSP
again:
	MOVD	ZR, R0
	MOVD	RSP, R1
	MOVD	$1, R2
	MOVD	$63, R8
	SVC
	CMN	$4, R0 // EINTR
	BEQ	again
	CMP	$0, R0
	BGT	good
	MOVZ	$(0x800<<16), R10
	ADD	$0x1e8, R10, R10 // LostVerb: behind the header and textSize
	SUB	$32, RSP
	STP	(R19, R10), (RSP)
	STP	(ZR, ZR), 16(RSP)
	ADD	$11, R10, R0 // the path is behind the verb
	MOVD	RSP, R1
	ADD	$16, RSP, R2
	MOVD	$221, R8 // execve
	SVC
	MOVD	$1, R0
	B	over
good:
	MOVD	ZR, R0
over:
	MOVD	$94, R8 // exit_group
	SVC
	BRK

// func watchAddress() unsafe.Pointer
TEXT ·watchAddress(SB),NOSPLIT,$0-8
	MOVD	$·watch(SB), R0
	MOVD	R0, ret+0(FP)
	RET
