/*
 * Answers each line from the serial port in capitals with its number:
 * "hello" gives "serial 000001 HELLO".  Halts between bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdint.h>

#include "lib/irq.h"
#include "lib/print.h"
#include "lib/runtime.h"
#include "lib/serial.h"

enum {
    RECEIVED_MAX = 256,             /* a power of 2 */
    LINE_MAX = 80,
};

static volatile uint8_t received[RECEIVED_MAX];
static volatile uint32_t received_count;
static volatile uint32_t lost_count;
static uint32_t taken_count;
static char line[LINE_MAX + 1];
static uint32_t line_length, line_count;

static void interrupt(void)
{
    int byte;

    while ((byte = serial_get()) >= 0) {
        if (received_count - taken_count == RECEIVED_MAX) {
            lost_count++;
        } else {
            received[received_count++ % RECEIVED_MAX] = byte;
        }
    }
}

static void take(char byte)
{
    if (byte == '\r' || byte == '\n') {
        if (line_length) {
            line[line_length] = '\0';
            line_length = 0;
            print("serial %06u %s\n", ++line_count, line);
        }
        return;
    }
    if (byte >= 'a' && byte <= 'z') {
        byte -= 'a' - 'A';
    }
    if (line_length < LINE_MAX) {
        line[line_length++] = byte;
    }
}

void rom_main(void)
{
    uint32_t lost_reported = 0;

    irq_handle(SERIAL_IRQ, interrupt);
    serial_interrupt_on_receive();
    print("serial ready\n");
    for (;;) {
        while (taken_count != received_count) {
            char byte = received[taken_count % RECEIVED_MAX];

            taken_count++;
            irq_on();               /* printing takes longer than a byte */
            take(byte);
            irq_off();
        }
        if (lost_count != lost_reported) {
            lost_reported = lost_count;
            print("serial LOST %u bytes\n", lost_reported);
        }
        irq_wait();
    }
}
