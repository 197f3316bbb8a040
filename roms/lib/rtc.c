/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdbool.h>

#include "io.h"
#include "memory.h"
#include "rtc.h"

enum {
    INDEX = 0x70,
    DATA = 0x71,
    INDEX_NO_NMI = 0x80,

    SECOND = 0x00,
    MINUTE = 0x02,
    HOUR = 0x04,
    DAY = 0x07,
    MONTH = 0x08,
    YEAR = 0x09,
    STATUS_A = 0x0a,
    STATUS_B = 0x0b,
    CENTURY = 0x32,

    A_UPDATE_IN_PROGRESS = 0x80,
    B_24_HOURS = 0x02,
    B_BINARY = 0x04,
    HOUR_PM = 0x80,
    BASE_YEAR = 2000,
};

uint8_t rtc_nvram_read(uint8_t index)
{
    io_out8(INDEX, INDEX_NO_NMI | index);
    return io_in8(DATA);
}

void rtc_nvram_write(uint8_t index, uint8_t value)
{
    io_out8(INDEX, INDEX_NO_NMI | index);
    io_out8(DATA, value);
}

static unsigned read_number(uint8_t index, uint8_t mask)
{
    uint8_t value = rtc_nvram_read(index) & mask;

    if (rtc_nvram_read(STATUS_B) & B_BINARY) {
        return value;
    }
    return (value >> 4) * 10 + (value & 0xf);
}

static RtcTime read_once(void)
{
    RtcTime time;
    bool pm = rtc_nvram_read(HOUR) & HOUR_PM;

    time.second = read_number(SECOND, 0xff);
    time.minute = read_number(MINUTE, 0xff);
    time.hour = read_number(HOUR, 0xff & ~HOUR_PM);
    if (!(rtc_nvram_read(STATUS_B) & B_24_HOURS)) {
        time.hour = time.hour % 12 + (pm ? 12 : 0);
    }
    time.day = read_number(DAY, 0xff);
    time.month = read_number(MONTH, 0xff);
    time.year = read_number(CENTURY, 0xff) * 100 + read_number(YEAR, 0xff);
    return time;
}

RtcTime rtc_read(void)
{
    RtcTime time, again;

    do {                            /* twice the same: no update in between */
        while (rtc_nvram_read(STATUS_A) & A_UPDATE_IN_PROGRESS) {
            /* under 2 ms */
        }
        time = read_once();
        again = read_once();
    } while (memcmp(&time, &again, sizeof(time)));
    return time;
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

uint32_t rtc_seconds(const RtcTime *time)
{
    static const uint16_t days_before_month[12] = {
        0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334,
    };
    uint32_t days = time->day - 1 + days_before_month[(time->month - 1) % 12];
    unsigned year;

    if (time->month > 2 && is_leap(time->year)) {
        days++;
    }
    for (year = BASE_YEAR; year < time->year; year++) {
        days += is_leap(year) ? 366 : 365;
    }
    return ((days * 24 + time->hour) * 60 + time->minute) * 60 + time->second;
}
