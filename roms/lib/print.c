/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdint.h>

#include "irq.h"
#include "print.h"
#include "serial.h"

enum { DIGITS_MAX = 20 };           /* of a 64-bit number */

static void put(char byte)
{
    if (byte == '\n') {
        serial_put('\r');
    }
    serial_put(byte);
}

/* 64 by 32 bits, since there is no libgcc here.  Returns the remainder. */
static uint32_t divide(uint64_t *value, uint32_t by)
{
    uint32_t high = *value >> 32;
    uint32_t low = *value;
    uint32_t rest = high % by;

    high /= by;
    __asm__("divl %2" : "+a"(low), "+d"(rest) : "r"(by));
    *value = (uint64_t)high << 32 | low;
    return rest;
}

static void put_number(uint64_t value, uint32_t base, unsigned width)
{
    char digits[DIGITS_MAX];
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[divide(&value, base)];
    } while (value);
    for (; width > count; width--) {
        put('0');
    }
    while (count) {
        put(digits[--count]);
    }
}

static void print_list(const char *format, va_list list)
{
    for (; *format; format++) {
        unsigned width = 0;
        const char *text;

        if (*format != '%') {
            put(*format);
            continue;
        }
        for (format++; *format >= '0' && *format <= '9'; format++) {
            width = width * 10 + (*format - '0');
        }
        switch (*format) {
        case 's':
            for (text = va_arg(list, const char *); *text; text++) {
                put(*text);
            }
            break;
        case 'c':
            put(va_arg(list, int));
            break;
        case 'u':
            put_number(va_arg(list, uint32_t), 10, width);
            break;
        case 'x':
            put_number(va_arg(list, uint32_t), 16, width);
            break;
        case 'U':
            put_number(va_arg(list, uint64_t), 10, width);
            break;
        case 'X':
            put_number(va_arg(list, uint64_t), 16, width);
            break;
        case '%':
            put('%');
            break;
        default:
            panic("print: unknown format character '%c'", *format);
        }
    }
}

void print(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    print_list(format, list);
    va_end(list);
}

void panic(const char *format, ...)
{
    va_list list;

    irq_off();
    print("PANIC: ");
    va_start(list, format);
    print_list(format, list);
    va_end(list);
    print("\n");
    irq_wait_forever();
}
