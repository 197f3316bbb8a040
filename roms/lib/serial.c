/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io.h"
#include "serial.h"

enum {
    PORT = 0x3f8,
    DATA = PORT,
    INTERRUPT_ENABLE = PORT + 1,
    FIFO_CONTROL = PORT + 2,
    LINE_CONTROL = PORT + 3,
    MODEM_CONTROL = PORT + 4,
    LINE_STATUS = PORT + 5,

    LINE_8N1 = 0x03,
    LINE_DIVISOR_ACCESS = 0x80,
    DIVISOR_115200 = 1,
    FIFO_ON_AND_EMPTY = 0x07,
    MODEM_DTR_RTS_OUT2 = 0x0b,      /* OUT2 connects the interrupt */
    INTERRUPT_RECEIVED = 0x01,
    STATUS_RECEIVED = 0x01,
    STATUS_MAY_SEND = 0x20,
};

void serial_init(void)
{
    io_out8(INTERRUPT_ENABLE, 0);
    io_out8(LINE_CONTROL, LINE_DIVISOR_ACCESS);
    io_out8(DATA, DIVISOR_115200);
    io_out8(INTERRUPT_ENABLE, 0);   /* the divisor's high byte, here */
    io_out8(LINE_CONTROL, LINE_8N1);
    io_out8(FIFO_CONTROL, FIFO_ON_AND_EMPTY);
    io_out8(MODEM_CONTROL, MODEM_DTR_RTS_OUT2);
}

void serial_put(char byte)
{
    while (!(io_in8(LINE_STATUS) & STATUS_MAY_SEND)) {
        /* the port is sending the byte before */
    }
    io_out8(DATA, byte);
}

void serial_interrupt_on_receive(void)
{
    io_out8(INTERRUPT_ENABLE, INTERRUPT_RECEIVED);
}

int serial_get(void)
{
    return io_in8(LINE_STATUS) & STATUS_RECEIVED ? io_in8(DATA) : -1;
}
