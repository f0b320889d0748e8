# Start-up, exception vectors and the emulator's calls, for an Xtensa core with windows.
#
# llvm-mc assembles this, with WINDOWED=1 for the windowed ABI and WINDOWED=0 for call0.
# The compiler takes no inline assembly for Xtensa, so all of it is here.

.macro function name
    .section .text.\name, "ax", @progbits
    .global \name
    .type \name, @function
    .balign 4
\name:
.if WINDOWED
    entry a1, 32
.endif
.endm

.macro return
.if WINDOWED
    retw
.else
    ret
.endif
.endm

.macro simcall_bytes              # llvm-mc does not know `simcall`
    .byte 0x00, 0x51, 0x00
.endm

# ---- Where the processor begins, on boards that do not start an image at its entry point.
    .section .reset, "ax", @progbits
    .global _reset
_reset:
    j 1f
    .balign 4
.Lreset_target:
    .long _start
1:  l32r a0, .Lreset_target
    jx a0

# ---- Start-up
    .literal .Lps, 0x20 + (WINDOWED << 18)      # PS.UM, PS.WOE; not PS.EXCM, which stops loops
    .literal .Lvectors, _vectors
    .literal .Lstack_top, _stack_top
    .literal .Lbss_start, _bss_start
    .literal .Lbss_end, _bss_end
    .literal .Lmain, main
    .section .text.start, "ax", @progbits
    .global _start
    .balign 4
_start:
    l32r a2, .Lps
    wsr a2, ps
    rsync
.if WINDOWED
    movi a2, 0
    wsr a2, windowbase
    rsync
    movi a2, 1
    wsr a2, windowstart
    rsync
.endif
    l32r a2, .Lvectors
    wsr a2, vecbase
    rsync
    movi a0, 0
    l32r a1, .Lstack_top
    l32r a2, .Lbss_start
    l32r a3, .Lbss_end
    movi a4, 0
1:  bgeu a2, a3, 2f
    s32i a4, a2, 0
    addi a2, a2, 4
    j 1b
2:
.if WINDOWED
    l32r a8, .Lmain
    callx8 a8                      # the linker does not know `call8`
.else
    l32r a0, .Lmain
    callx0 a0
.endif
    movi a2, 1
    movi a3, 0
    simcall_bytes
3:  j 3b

# ---- Vectors
    .section .vectors, "ax", @progbits
    .global _vectors
_vectors:
.if WINDOWED
    s32e a0, a5, -16               # overflow of 4 registers
    s32e a1, a5, -12
    s32e a2, a5, -8
    s32e a3, a5, -4
    rfwo
    .org 0x40
_underflow4:
    l32e a0, a5, -16
    l32e a1, a5, -12
    l32e a2, a5, -8
    l32e a3, a5, -4
    rfwu
    .org 0x80
    s32e a0, a9, -16               # overflow of 8
    l32e a0, a1, -12
    s32e a1, a9, -12
    s32e a2, a9, -8
    s32e a3, a9, -4
    s32e a4, a0, -32
    s32e a5, a0, -28
    s32e a6, a0, -24
    s32e a7, a0, -20
    rfwo
    .org 0xc0
_underflow8:
    l32e a0, a9, -16
    l32e a1, a9, -12
    l32e a2, a9, -8
    l32e a7, a1, -12
    l32e a3, a9, -4
    l32e a4, a7, -32
    l32e a5, a7, -28
    l32e a6, a7, -24
    l32e a7, a7, -20
    rfwu
    .org 0x100
    s32e a0, a13, -16              # overflow of 12
    l32e a0, a1, -12
    s32e a1, a13, -12
    s32e a2, a13, -8
    s32e a3, a13, -4
    s32e a4, a0, -48
    s32e a5, a0, -44
    s32e a6, a0, -40
    s32e a7, a0, -36
    s32e a8, a0, -32
    s32e a9, a0, -28
    s32e a10, a0, -24
    s32e a11, a0, -20
    rfwo
    .org 0x140
_underflow12:
    l32e a0, a13, -16
    l32e a1, a13, -12
    l32e a2, a13, -8
    l32e a11, a1, -12
    l32e a3, a13, -4
    l32e a4, a11, -48
    l32e a5, a11, -44
    l32e a6, a11, -40
    l32e a7, a11, -36
    l32e a8, a11, -32
    l32e a9, a11, -28
    l32e a10, a11, -24
    l32e a11, a11, -20
    rfwu
.endif
    .org 0x300
    wsr a0, excsave1               # an exception of the kernel's: there is none
    j unexpected
    .org 0x340
    wsr a0, excsave1               # an exception of the program's
    j exception
    .org 0x3c0
    wsr a0, excsave1               # an exception in a handler
    j unexpected

# ---- Exceptions
#
# The emulated core lacks MULUH and MULSH, which the ESP32 has: they are computed here. The
# handler takes the same number of instructions whatever it computes, so that its cost can be
# subtracted exactly.
    .literal .Lframe, frame
.if WINDOWED
    .literal .Ltouch, touch
.endif
    .section .text.exception, "ax", @progbits
    .balign 4
exception:
    rsr a0, exccause
    beqz a0, illegal
.if WINDOWED
    addi a0, a0, -5
    beqz a0, alloca
.endif
    j unexpected

illegal:
    l32r a0, .Lframe
    s32i a1, a0, 4
    s32i a2, a0, 8
    s32i a3, a0, 12
    s32i a4, a0, 16
    s32i a5, a0, 20
    s32i a6, a0, 24
    s32i a7, a0, 28
    s32i a8, a0, 32
    s32i a9, a0, 36
    s32i a10, a0, 40
    s32i a11, a0, 44
    s32i a12, a0, 48
    s32i a13, a0, 52
    s32i a14, a0, 56
    s32i a15, a0, 60
    rsr a1, excsave1
    s32i a1, a0, 0
    rsr a1, epc1
    s32i a1, a0, 64
    l8ui a2, a1, 2
    s32i a2, a0, 96                # its bit 4: whether the factors have signs
    movi a3, 0xef
    and a2, a2, a3
    movi a3, 0xa2
    beq a2, a3, 1f
    j unexpected
1:
    l8ui a2, a1, 0
    l8ui a3, a1, 1
    extui a2, a2, 4, 4
    addx4 a2, a2, a0
    l32i a2, a2, 0                 # one factor
    s32i a2, a0, 100
    extui a1, a3, 0, 4
    addx4 a1, a1, a0
    l32i a1, a1, 0                 # the other
    s32i a1, a0, 104
    extui a3, a3, 4, 4
    s32i a3, a0, 68                # the number of the result's register
    mul16u a3, a1, a2
    extui a3, a3, 16, 16
    s32i a3, a0, 72                # high half of low * low
    extui a3, a1, 16, 16
    s32i a3, a0, 76
    mul16u a3, a3, a2
    s32i a3, a0, 80                # high * low
    extui a2, a2, 16, 16
    mul16u a1, a1, a2              # low * high
    l32i a3, a0, 76
    mul16u a2, a3, a2              # high * high
    extui a3, a1, 16, 16
    add a2, a2, a3
    s32i a2, a0, 84
    extui a1, a1, 0, 16
    l32i a3, a0, 72
    add a1, a1, a3
    l32i a3, a0, 80
    extui a2, a3, 0, 16
    add a1, a1, a2
    extui a1, a1, 16, 16           # the carry of the middle
    extui a3, a3, 16, 16
    l32i a2, a0, 84
    add a2, a2, a3
    add a2, a2, a1
    s32i a2, a0, 84                # the product's high word, without signs
    l32i a1, a0, 100
    l32i a2, a0, 104
    srai a3, a1, 31
    and a3, a3, a2                 # what a negative first factor is too much
    srai a2, a2, 31
    and a2, a2, a1                 # and a negative second one
    add a3, a3, a2
    l32i a1, a0, 96
    extui a1, a1, 4, 1
    neg a1, a1
    and a3, a3, a1
    l32i a2, a0, 84
    sub a2, a2, a3
    s32i a2, a0, 84                # the result
.if WINDOWED
    # Another function's registers may be where the result goes: let them overflow, as the
    # instruction would. Nothing above a3 has been changed so far.
    rsr a1, ps
    s32i a1, a0, 88
    movi a3, 0x1f
    or a1, a1, a3
    movi a3, 0x10
    xor a1, a1, a3
    wsr a1, ps
    rsync
    l32i a3, a0, 68
    extui a3, a3, 2, 2
    l32r a1, .Ltouch
    slli a3, a3, 3
    add a1, a1, a3
    jx a1
    .balign 8
touch:
    or a0, a0, a0
    j touched
    .balign 8
    or a4, a4, a4
    j touched
    .balign 8
    or a8, a8, a8
    j touched
    .balign 8
    or a12, a12, a12
    j touched
touched:
    l32i a1, a0, 88
    wsr a1, ps
    rsync
.endif
    l32i a2, a0, 84
    l32i a3, a0, 68
    addx4 a3, a3, a0
    s32i a2, a3, 0
    l32i a1, a0, 92
    addi a1, a1, 1
    s32i a1, a0, 92
    l32i a1, a0, 64
    addi a1, a1, 3
    wsr a1, epc1
    l32i a1, a0, 4
    l32i a2, a0, 8
    l32i a3, a0, 12
    l32i a4, a0, 16
    l32i a5, a0, 20
    l32i a6, a0, 24
    l32i a7, a0, 28
    l32i a8, a0, 32
    l32i a9, a0, 36
    l32i a10, a0, 40
    l32i a11, a0, 44
    l32i a12, a0, 48
    l32i a13, a0, 52
    l32i a14, a0, 56
    l32i a15, a0, 60
    l32i a0, a0, 0
    rfe

.if WINDOWED
# `movsp` when the caller's registers are on the stack: load them, and let it run again.
alloca:
    rsr a0, windowbase
    rotw -1                        # the window's number is in a4 now, and a0 to a3 are free
    rsr a2, ps
    extui a3, a2, 8, 4
    xor a3, a3, a4
    rsr a4, excsave1
    slli a3, a3, 8
    xor a2, a2, a3
    wsr a2, ps                     # PS.OWB: the window to come back to
    rsync
    bbsi a4, 31, 1f
    j _underflow4
1:  rotw -1
    bbsi a8, 30, 2f
    j _underflow8
2:  rotw -1
    j _underflow12
.endif

# Nothing else is expected: the program says so, on a stack of its own, and ends.
    .literal .Lexception_stack, exception_stack_top
    .literal .Lunexpected_exception, unexpected_exception
    .section .text.unexpected, "ax", @progbits
    .balign 4
unexpected:
.if WINDOWED
    movi a2, 0
    wsr a2, windowbase
    rsync
    movi a2, 1
    wsr a2, windowstart
    rsync
.endif
    l32r a2, .Lps
    wsr a2, ps
    rsync
    l32r a1, .Lexception_stack
    movi a0, 0
.if WINDOWED
    rsr a10, exccause
    rsr a11, epc1
    l32r a8, .Lunexpected_exception
    callx8 a8
.else
    rsr a2, exccause
    rsr a3, epc1
    l32r a0, .Lunexpected_exception
    callx0 a0
.endif
1:  j 1b

    .section .bss.frame, "aw", @nobits
    .balign 16
frame:
    .zero 92
    .global multiply_traps
multiply_traps:
    .zero 4
    .zero 12
    .zero 2048
exception_stack_top:
    .zero 16

# ---- What the program calls

function sim_write                 # (address, length)
    or a4, a2, a2
    or a5, a3, a3
    movi a3, 1
    movi a2, 4
    simcall_bytes
    return

function sim_exit                  # (code)
    or a3, a2, a2
    movi a2, 1
    simcall_bytes
1:  j 1b

function cycle_count               # () -> CCOUNT
    rsr a2, ccount
    return

function stack_pointer             # () -> the caller's
.if WINDOWED
    addi a2, a1, 32
.else
    or a2, a1, a1
.endif
    return

# Each with one multiplication: by the difference, what a trap costs can be calibrated.
function multiply_high             # (a, b) -> high word
    .byte 0x30, 0x22, 0xa2         # muluh a2, a2, a3
    return
function multiply_high_signed      # (a, b) -> high word
    .byte 0x30, 0x22, 0xb2         # mulsh a2, a2, a3
    return
function multiply_low              # (a, b) -> low word
    mull a2, a2, a3
    return

    .section .note.GNU-stack, "", @progbits
