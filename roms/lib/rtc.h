/*
 * The MC146818 clock and its battery-backed memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ROM_RTC_H
#define ROM_RTC_H

#include <stdint.h>

#define RTC_NVRAM_SPARE 0x60        /* bytes from here are free to use */

typedef struct RtcTime {
    unsigned year, month, day, hour, minute, second;
} RtcTime;

/* Waits for an update in progress to end. */
RtcTime rtc_read(void);
/* Seconds since the start of 2000. */
uint32_t rtc_seconds(const RtcTime *time);

uint8_t rtc_nvram_read(uint8_t index);
void rtc_nvram_write(uint8_t index, uint8_t value);

#endif
