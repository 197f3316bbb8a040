/*
 * From the reset vector to main(): real mode, flat 32-bit protected mode,
 * .data copied and .bss cleared; then the interrupt entries.
 *
 * Code and constants stay in the ROM and are executed there; only data is in
 * RAM.  .noinit is left alone, so that it survives a reset of the machine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10
#define VECTORS 48                  /* 32 exceptions, 16 interrupts */

    .section .reset, "ax"
    .code16
    .global reset_vector
reset_vector:
    jmp start16
    .balign 16, 0xff

    .section .start, "ax"
start16:
    cli
    cld
    lgdtl %cs:gdt_pointer - start16 /* .start is where CS points */
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $CODE_SELECTOR, $start32

/* Here, so that real mode finds it at a known distance from start16. */
    .balign 8
gdt:
    .quad 0
    /* Flat 4 GiB; marked as accessed, since the ROM can't be written. */
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
gdt_end:

gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt

    .code32
start32:
    movw $DATA_SELECTOR, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    movl $stack_top, %esp

    movl $data_load, %esi
    movl $data_start, %edi
    movl $data_size, %ecx
    rep movsb
    movl $bss_start, %edi
    movl $bss_size, %ecx
    xorl %eax, %eax
    rep stosb

    call runtime_main
1:  cli
    hlt
    jmp 1b

/*
 * One entry a vector; irq_dispatch() finds out the rest.  An exception never
 * returns, so its error code, if it has one, may stay on the stack.
 */
    .balign 16
    .global vector_entries
vector_entries:
    .set vector, 0
    .rept VECTORS
    .balign 16
    pushl $vector
    jmp vector_common
    .set vector, vector + 1
    .endr

vector_common:
    pushal
    cld
    leal 32(%esp), %eax             /* the vector, and what lies below it */
    pushl %eax
    call irq_dispatch
    addl $4, %esp
    popal
    addl $4, %esp
    iret

    .section .bss.stack, "aw", @nobits
    .balign 16
    .skip 16384
stack_top:

    .section .note.GNU-stack, "", @progbits
