/*
 * Feeds a core events and compares the actions with a line of words.
 *
 * Timers are left out of the line: they come with almost every action, and
 * the simulator shows whether they are right.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef CORE_FIX_H
#define CORE_FIX_H

#include <glib.h>
#include <string.h>

#include "core-internal.h"

typedef struct Fix {
    FtCore *core;
    GString *line;
    FtLeaseRecord step_from, step_to;   /* of the last LEASE_STEP */
    guint64 session;
    FtHeartbeat heartbeat;
} Fix;

#define FEED(f, expected, ...) feed(f, (FtEvent) { __VA_ARGS__ }, expected)

#define HELLO_ZERO "vm.uuid=00000000000000000000000000000000\nvm.disks=own\n" \
                   "state=power-on\n"
#define HELLO_REST HELLO_ZERO "machine.ram=256M\nmachine.type=pc\n"

/* Of a machine whose log begins with state 7. */
#define HELLO_STATE "vm.uuid=00000000000000000000000000000000\nvm.disks=own\n" \
                    "state=0000000000000007\nmachine.ram=256M\n" \
                    "machine.type=pc\n"

void feed(Fix *f, FtEvent event, const char *expected);
void feed_frame(Fix *f, FtFrame frame, const void *data, gsize size,
                const char *expected);
void feed_ack(Fix *f, guint64 position, guint64 executed,
              const char *expected);
void feed_won(Fix *f, const char *expected);
void feed_lost(Fix *f, const char *expected);
void feed_unknown(Fix *f, const char *expected);
void feed_read(Fix *f, guint64 generation, const char *owner,
               const char *partner, const char *expected);
void feed_timer(Fix *f, FtTimer timer, const char *expected);
Fix fix_make(FtRole role, gboolean new_vm);
Fix fix_make_disks(FtRole role, gboolean new_vm, FtLeaseDisks disks);
void fix_free(Fix *f);
void feed_hello(Fix *f, const char *payload, const char *expected);
Fix primary_connected(void);
Fix primary_pairing(void);
void feed_held(Fix *f, guint64 position, const char *expected);
Fix primary_protected(void);
Fix backup_pairing(void);
void feed_paired(Fix *f, const char *partner, const char *expected);
Fix backup_protected(void);
void feed_log(Fix *f, guint64 position, guint32 flags,
              const char *expected);
const char *text_of(Fix *f);
void text_has(Fix *f, const char *part);

#endif
