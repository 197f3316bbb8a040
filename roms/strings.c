/*
 * Repeated string instructions of every kind, each compared with a loop of
 * single loads and stores: sizes, directions, overlaps, counts beyond what an
 * emulator does at once, pages that are missing in the middle or that hold
 * code, 32-bit addresses and 64-bit ones.
 *
 * Prints "strings 000001 1a2b3c4d errors=0", every 50: the number, and a
 * checksum of the registers after each and of the ticks at that moment.
 * "strings ERROR ..." says what differed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/dice.h"
#include "lib/irq.h"
#include "lib/memory.h"
#include "lib/paging.h"
#include "lib/pit.h"
#include "lib/print.h"
#include "lib/runtime.h"

enum {
    MIB = 1 << 20,
    ARENA_AT = 4 * MIB,                 /* what the instructions work on */
    MODEL_AT = 8 * MIB,                 /* what it should look like */
    ARENA_SIZE = 448 * 1024,
    ARENA_PAGES = ARENA_SIZE / PAGING_PAGE,
    MARGIN = 8,
    COUNT_MAX = 70000,
    PER_LINE = 50,
    PAGE_FAULT = 14,
};

enum {
    LONG_LARGE_PAGE = 2 * MIB,
    LONG_ENTRIES = 512,
};

/* Where the same memory is once more for 64-bit code. */
#define HIGH (32ull << 30)
#define RET 0xc3

/* An instruction and its registers; strings_long() knows the offsets. */
typedef struct Op {
    uint64_t si, di, cx, ax;
    uint32_t shift;                     /* an element has 1 << shift bytes */
    uint32_t stos;
    uint32_t down;
} Op;

void strings_long(Op *op);
void fault_entry(void);
void fault_taken(const uint32_t *frame);

uint64_t long_root[LONG_ENTRIES] __attribute__((aligned(PAGING_PAGE)));
static uint64_t long_pointers[LONG_ENTRIES]
    __attribute__((aligned(PAGING_PAGE)));
static uint64_t long_low[LONG_ENTRIES] __attribute__((aligned(PAGING_PAGE)));
static uint64_t long_rom[LONG_ENTRIES] __attribute__((aligned(PAGING_PAGE)));
static uint64_t long_arena[LONG_ENTRIES] __attribute__((aligned(PAGING_PAGE)));

static uint8_t *const arena = (uint8_t *)ARENA_AT;
static uint8_t *const model = (uint8_t *)MODEL_AT;
static uint32_t checksum = 1;
static uint32_t errors;
static Op before;                       /* what a fault is judged by */

static void mix(uint32_t value)
{
    checksum = (checksum << 5 | checksum >> 27) ^ (value + 0x9e3779b9);
}

static void error(const char *what, uint32_t is, uint32_t should)
{
    errors++;
    print("strings ERROR %s: %08x, not %08x; stos=%u shift=%u down=%u "
          "si=%08x di=%08x cx=%08x\n", what, is, should, before.stos,
          before.shift, before.down, (uint32_t)before.si,
          (uint32_t)before.di, (uint32_t)before.cx);
}

/* Backwards, so that what follows a page is not the next page's memory. */
static uint32_t arena_page(uint32_t i)
{
    return (ARENA_AT + (ARENA_PAGES - 1 - i) * PAGING_PAGE) | PAGING_USUAL;
}

static void map_arena(void)
{
    unsigned i;

    for (i = 0; i < ARENA_PAGES; i++) {
        *paging_entry(ARENA_AT + i * PAGING_PAGE) = arena_page(i);
    }
    paging_flush();
}

/* The first and the last of the low 4 GiB, and the first again at HIGH. */
static void prepare_long(void)
{
    unsigned i;

    for (i = 0; i < LONG_ENTRIES; i++) {
        long_low[i] = (uint64_t)i * LONG_LARGE_PAGE
                      | PAGING_USUAL | PAGING_LARGE;
        long_rom[i] = long_low[i] | 3ull << 30;
    }
    for (i = 0; i < ARENA_PAGES; i++) {
        long_arena[i] = arena_page(i);
    }
    long_low[ARENA_AT / LONG_LARGE_PAGE] = (uintptr_t)long_arena | PAGING_USUAL;
    long_root[0] = (uintptr_t)long_pointers | PAGING_USUAL;
    long_pointers[0] = (uintptr_t)long_low | PAGING_USUAL;
    long_pointers[3] = (uintptr_t)long_rom | PAGING_USUAL;
    long_pointers[HIGH >> 30] = (uintptr_t)long_low | PAGING_USUAL;
}

/* --- faults ------------------------------------------------------------- */

static void hide(uint32_t address)
{
    *paging_entry(address) &= ~PAGING_PRESENT;
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

static void show_all(void)
{
    uint32_t at;

    for (at = 0; at < ARENA_SIZE; at += PAGING_PAGE) {
        *paging_entry(ARENA_AT + at) |= PAGING_PRESENT;
    }
}

/*
 * The registers have to be those of an iteration: as much is left as was not
 * done.  Of two pages that are missing, each takes a fault.
 */
void fault_taken(const uint32_t *frame)
{
    enum { EDI = 0, ESI = 1, ECX = 6 }; /* as pushal leaves them */
    int32_t step = before.down ? -(1 << before.shift) : 1 << before.shift;
    uint32_t done = before.cx - frame[ECX];
    uint32_t at;

    __asm__ volatile("movl %%cr2, %0" : "=r"(at));
    if (frame[EDI] != (uint32_t)before.di + done * step) {
        error("di at a fault", frame[EDI], (uint32_t)before.di + done * step);
    }
    if (!before.stos && frame[ESI] != (uint32_t)before.si + done * step) {
        error("si at a fault", frame[ESI], (uint32_t)before.si + done * step);
    }
    mix(done);
    *paging_entry(at) |= PAGING_PRESENT;
}

/* The frame below an error code. */
__asm__(".text\n"
        "fault_entry:\n"
        "    pushal\n"
        "    cld\n"
        "    pushl %esp\n"
        "    call fault_taken\n"
        "    addl $4, %esp\n"
        "    popal\n"
        "    addl $4, %esp\n"
        "    iret\n");

/* --- the instructions --------------------------------------------------- */

#define RUN(insn)                                                           \
    __asm__ volatile("testl %4, %4; jz 1f; std; 1: rep " insn "; cld"       \
                     : "+S"(si), "+D"(di), "+c"(cx)                         \
                     : "a"((uint32_t)op->ax), "r"(op->down) : "memory")

static void run(Op *op)
{
    uint32_t si = op->si, di = op->di, cx = op->cx;

    switch (op->stos << 4 | op->shift) {
    case 0x00:
        RUN("movsb");
        break;
    case 0x01:
        RUN("movsw");
        break;
    case 0x02:
        RUN("movsl");
        break;
    case 0x10:
        RUN("stosb");
        break;
    case 0x11:
        RUN("stosw");
        break;
    default:
        RUN("stosl");
        break;
    }
    op->si = si;
    op->di = di;
    op->cx = cx;
}

/*
 * The same in 64-bit mode, from the low 4 GiB without paging or with 32-bit
 * paging, and back.  Interrupts are off.
 */
__asm__(".text\n"
        "strings_long:\n"
        "    pushal\n"
        "    movl 36(%esp), %ebx\n"
        "    movl %cr0, %eax\n"
        "    pushl %eax\n"
        "    andl $0x7fffffff, %eax\n"
        "    movl %eax, %cr0\n"
        "    movl %cr3, %eax\n"
        "    pushl %eax\n"
        "    movl $long_root, %eax\n"
        "    movl %eax, %cr3\n"
        "    movl %cr4, %eax\n"
        "    pushl %eax\n"
        "    orl $0x20, %eax\n"                 /* PAE */
        "    movl %eax, %cr4\n"
        "    movl $0xc0000080, %ecx\n"
        "    rdmsr\n"
        "    orl $0x100, %eax\n"                /* EFER.LME */
        "    wrmsr\n"
        "    movl %cr0, %eax\n"
        "    orl $0x80000000, %eax\n"
        "    movl %eax, %cr0\n"
        "    lgdtl long_gdt_pointer\n"
        "    ljmpl $0x18, $1f\n"
        "    .code64\n"
        "1:  movl %esp, %esp\n"
        "    movl %ebx, %ebx\n"
        "    movq 0(%rbx), %rsi\n"
        "    movq 8(%rbx), %rdi\n"
        "    movq 16(%rbx), %rcx\n"
        "    movq 24(%rbx), %rax\n"
        "    movl 36(%rbx), %edx\n"
        "    shll $4, %edx\n"
        "    orl 32(%rbx), %edx\n"
        "    cmpl $0, 40(%rbx)\n"
        "    je 2f\n"
        "    std\n"
        "2:  cmpl $0x00, %edx\n"
        "    jne 3f\n"
        "    rep movsb\n"
        "    jmp 9f\n"
        "3:  cmpl $0x01, %edx\n"
        "    jne 3f\n"
        "    rep movsw\n"
        "    jmp 9f\n"
        "3:  cmpl $0x02, %edx\n"
        "    jne 3f\n"
        "    rep movsl\n"
        "    jmp 9f\n"
        "3:  cmpl $0x03, %edx\n"
        "    jne 3f\n"
        "    rep movsq\n"
        "    jmp 9f\n"
        "3:  cmpl $0x10, %edx\n"
        "    jne 3f\n"
        "    rep stosb\n"
        "    jmp 9f\n"
        "3:  cmpl $0x11, %edx\n"
        "    jne 3f\n"
        "    rep stosw\n"
        "    jmp 9f\n"
        "3:  cmpl $0x12, %edx\n"
        "    jne 3f\n"
        "    rep stosl\n"
        "    jmp 9f\n"
        "3:  rep stosq\n"
        "9:  cld\n"
        "    movq %rsi, 0(%rbx)\n"
        "    movq %rdi, 8(%rbx)\n"
        "    movq %rcx, 16(%rbx)\n"
        "    movl $4f, %edx\n"
        "    pushq $0x08\n"
        "    pushq %rdx\n"
        "    lretq\n"
        "    .code32\n"
        "4:  movl %cr0, %eax\n"
        "    andl $0x7fffffff, %eax\n"
        "    movl %eax, %cr0\n"
        "    movl $0xc0000080, %ecx\n"
        "    rdmsr\n"
        "    andl $~0x100, %eax\n"
        "    wrmsr\n"
        "    popl %eax\n"
        "    movl %eax, %cr4\n"
        "    popl %eax\n"
        "    movl %eax, %cr3\n"
        "    popl %eax\n"
        "    movl %eax, %cr0\n"
        "    popal\n"
        "    ret\n"
        "    .section .rodata\n"
        "    .balign 8\n"
        "long_gdt:\n"
        "    .quad 0\n"
        "    .quad 0x00cf9b000000ffff\n"
        "    .quad 0x00cf93000000ffff\n"
        "    .quad 0x00af9b000000ffff\n"        /* 64 bit */
        "long_gdt_end:\n"
        "long_gdt_pointer:\n"
        "    .word long_gdt_end - long_gdt - 1\n"
        "    .long long_gdt\n"
        "    .text\n");

/* --- what they should do ------------------------------------------------ */

/* One element after the other, in the model. */
static void run_model(const Op *op)
{
    uint32_t shift = op->shift, bytes = 1u << shift;
    uint32_t from = (uint32_t)op->si - ARENA_AT;
    uint32_t to = (uint32_t)op->di - ARENA_AT;
    uint32_t left, i;

    for (left = op->cx; left; left--) {
        uint8_t element[8];

        for (i = 0; i < bytes; i++) {
            element[i] = op->stos ? (uint8_t)(op->ax >> (8 * i))
                                  : model[from + i];
        }
        for (i = 0; i < bytes; i++) {
            model[to + i] = element[i];
        }
        from += op->down ? -bytes : bytes;
        to += op->down ? -bytes : bytes;
    }
}

static void compare(const Op *op)
{
    int64_t step = (op->down ? -1 : 1) * (int64_t)(1u << op->shift);
    uint64_t di = before.di + before.cx * step;
    uint64_t si = before.stos ? before.si : before.si + before.cx * step;
    uint32_t i;

    if (op->cx) {
        error("cx", op->cx, 0);
    }
    if (op->di != di) {
        error("di", op->di, di);
    }
    if (op->si != si) {
        error("si", op->si, si);
    }
    for (i = 0; i < ARENA_SIZE / 4; i++) {
        uint32_t is = ((volatile uint32_t *)arena)[i];

        if (is != ((uint32_t *)model)[i]) {
            error("memory", is, ((uint32_t *)model)[i]);
            memcpy(arena, model, ARENA_SIZE);
            break;
        }
    }
    mix(op->si ^ op->di);
    mix(pit_ticks);
}

/* --- which -------------------------------------------------------------- */

static uint32_t some_count(void)
{
    switch (dice_throw(8)) {
    case 0:
        return dice_throw(4);
    case 1:
        return dice_throw(80);
    case 2:
        return COUNT_MAX - dice_throw(8000);
    default:
        return dice_throw(6000);
    }
}

/* Where so many bytes, up or down, stay within the arena. */
static uint32_t some_place(uint32_t size, bool down, uint32_t bytes)
{
    uint32_t at = MARGIN + dice_throw(ARENA_SIZE - size - 2 * MARGIN);

    return ARENA_AT + (down ? at + size - bytes : at);
}

static void some_op(Op *op, bool wide)
{
    uint32_t bytes, count, size, near;

    *op = (Op) {
        .shift = dice_throw(wide ? 4 : 3),
        .stos = dice_throw(4) == 0,
        .down = dice_throw(5) == 0,
        .ax = (uint64_t)dice_throw(1 << 24) << 40 | dice_throw(1 << 24),
    };
    bytes = 1u << op->shift;
    count = some_count();
    if (count > (uint32_t)(ARENA_SIZE / 2) >> op->shift) {
        count = (uint32_t)(ARENA_SIZE / 2) >> op->shift;
    }
    op->cx = count;
    size = count << op->shift;
    op->di = some_place(size + bytes, op->down, bytes);
    op->si = some_place(size + bytes, op->down, bytes);
    near = dice_throw(4) ? dice_throw(64) : dice_throw(size + 1);
    switch (dice_throw(6)) {            /* they overlap */
    case 0:
        if (op->di - ARENA_AT > near + size + MARGIN) {
            op->si = op->di - near;
        }
        break;
    case 1:
        if (op->di - ARENA_AT + near + size + MARGIN < ARENA_SIZE) {
            op->si = op->di + near;
        }
        break;
    default:
        break;
    }
    if (dice_throw(4) == 0) {           /* as compilers align it */
        op->si &= ~7ull;
        op->di &= ~7ull;
    }
}

/* Code in a page makes writes to it take another way. */
static void execute_somewhere(void)
{
    uint32_t at = dice_throw(ARENA_SIZE);

    arena[at] = model[at] = RET;
    __asm__ volatile("call *%0" : : "r"(&arena[at]) : "memory");
}

static void one(void)
{
    bool wide = dice_throw(3) == 0;
    Op op;

    some_op(&op, wide);
    before = op;
    if (dice_throw(4) == 0) {
        execute_somewhere();
    }
    run_model(&op);
    if (wide) {
        if (dice_throw(2)) {
            before.si = op.si += HIGH;
            before.di = op.di += HIGH;
        }
        strings_long(&op);
    } else {
        if (dice_throw(3) == 0) {
            hide(ARENA_AT + dice_throw(ARENA_SIZE));
            hide(ARENA_AT + dice_throw(ARENA_SIZE));
        }
        irq_on();
        run(&op);
        irq_off();
        show_all();
    }
    compare(&op);
}

void rom_main(void)
{
    uint32_t i;

    irq_set_gate(PAGE_FAULT, fault_entry);
    prepare_long();
    paging_on();
    map_arena();
    for (i = 0; i < ARENA_SIZE; i++) {
        arena[i] = model[i] = dice_throw(256);
    }
    pit_init();
    for (i = 1;; i++) {
        one();
        if (i % PER_LINE == 0) {
            print("strings %06u %08x errors=%u\n", i, checksum, errors);
        }
    }
}
