/*
 * What ends the process in upstream's replay engine ends only the replay.
 *
 * Purpose: included last by upstream's files that act on a log (hooks/).
 *   Their exits, aborts and assertions are right for a file that somebody
 *   named on a command line; while a machine follows a log with -ft they
 *   mean that the log is broken or that the machine has diverged, which ends
 *   in fail-stop with evidence (ft_stream_fail).  In any other mode each does
 *   what it always did.
 * Locks: none are taken; whatever the site holds stays held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef REPLAY_FT_GUARD_H
#define REPLAY_FT_GUARD_H

#include "ft-stream.h"

/* Returns unless this machine follows a log. */
void ft_guard_met(const char *what, const char *function, int line);

#define FT_GUARD_MET(what) ft_guard_met(what, __func__, __LINE__)

#define FT_GUARD_ASSERT(expr) \
    do { \
        if (unlikely(!(expr))) { \
            FT_GUARD_MET("assertion '" #expr "' failed"); \
            g_assertion_message_expr(G_LOG_DOMAIN, __FILE__, __LINE__, \
                                     G_STRFUNC, #expr); \
        } \
    } while (0)

#undef assert
#define assert(expr) FT_GUARD_ASSERT(expr)
#undef g_assert
#define g_assert(expr) FT_GUARD_ASSERT(expr)
#undef g_assert_not_reached
#define g_assert_not_reached() \
    (FT_GUARD_MET("unreachable code is reached"), \
     g_assertion_message_expr(G_LOG_DOMAIN, __FILE__, __LINE__, G_STRFUNC, \
                              NULL))

/* A name in parentheses is the function, not the macro. */
#define exit(status) (FT_GUARD_MET("exit(" #status ")"), (exit)(status))
#define abort() (FT_GUARD_MET("abort()"), (abort)())
#define cpu_abort(cpu, ...) \
    (FT_GUARD_MET("cpu_abort(" #__VA_ARGS__ ")"), (cpu_abort)(cpu, __VA_ARGS__))

#endif
