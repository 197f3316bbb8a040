/*
 * Reads every clock again and again and says whether one went backwards:
 * "time rtc=2026-01-31T12:34:56 tsc=... pm=... pit=... monotonic=ok", ten
 * times a second; at once "time BACKWARDS tsc from=... to=..." when one did,
 * and from there on "monotonic=no".
 *
 * pit counts the input clocks since the start, from ticks and the counter.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/io.h"
#include "lib/irq.h"
#include "lib/pit.h"
#include "lib/pm.h"
#include "lib/print.h"
#include "lib/rtc.h"
#include "lib/runtime.h"

enum {
    TICKS_PER_REPORT = 10,
    PM_TIMER_HALF = 1 << (PM_TIMER_BITS - 1),
    PM_TIMER_MASK = (1 << PM_TIMER_BITS) - 1,
    /*
     * The PM timer's direction is known only if much less than its 4.7 s
     * went by between two reads.  This is 0.1 s or less, as TSCs go.
     */
    TSC_CLOSE = 100000000,
};

static uint64_t tsc_last;
static uint64_t tsc_at_pm_last;     /* before the timer was read */
static uint32_t pm_last;
static uint32_t rtc_last;
static RtcTime rtc_time;
static bool went_backwards;

static void check(const char *clock, bool backwards, uint64_t from,
                  uint64_t to)
{
    if (backwards) {
        went_backwards = true;
        print("time BACKWARDS %s from=%U to=%U\n", clock, from, to);
    }
}

static uint64_t read_tsc(void)
{
    uint64_t tsc = io_time_stamp();

    check("tsc", tsc < tsc_last, tsc_last, tsc);
    tsc_last = tsc;
    return tsc;
}

static void read_pm(void)
{
    uint64_t before = read_tsc();
    uint32_t pm = pm_timer();
    uint64_t after = read_tsc();
    bool known = after - tsc_at_pm_last < TSC_CLOSE;

    check("pm", known && ((pm - pm_last) & PM_TIMER_MASK) >= PM_TIMER_HALF,
          pm_last, pm);
    pm_last = pm;
    tsc_at_pm_last = before;
}

static void read_rtc(void)
{
    uint32_t seconds;

    rtc_time = rtc_read();
    seconds = rtc_seconds(&rtc_time);
    check("rtc", seconds < rtc_last, rtc_last, seconds);
    rtc_last = seconds;
}

static void report(void)
{
    uint64_t pit = (uint64_t)pit_ticks * PIT_RELOAD +
                   (PIT_RELOAD - pit_counter());

    print("time rtc=%04u-%02u-%02uT%02u:%02u:%02u tsc=%U pm=%u pit=%U "
          "monotonic=%s\n", rtc_time.year, rtc_time.month, rtc_time.day,
          rtc_time.hour, rtc_time.minute, rtc_time.second, tsc_last, pm_last,
          pit, went_backwards ? "no" : "ok");
}

void rom_main(void)
{
    uint32_t tick = 0, next_report = TICKS_PER_REPORT;

    pm_init();
    pit_init();
    tsc_last = tsc_at_pm_last = io_time_stamp();
    pm_last = pm_timer();
    for (;;) {
        irq_on();
        read_pm();
        irq_off();
        if (tick == pit_ticks) {
            continue;
        }
        tick = pit_ticks;
        read_rtc();
        if ((int32_t)(tick - next_report) >= 0) {
            next_report = tick + TICKS_PER_REPORT;
            report();
        }
    }
}
