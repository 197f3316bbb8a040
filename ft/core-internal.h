/*
 * What the core's files share, and nobody else needs.
 *
 * core.c          events in, actions out; timers and frames
 * core-table.c    names and sentences; the table of legal changes of state
 * core-lease.c    the questions to the lease
 * core-hello.c    who connects to whom: HELLO and the comparison
 * core-command.c  may a person give this command now?
 * core-start.c    a primary's first or cold start
 * core-fence.c    a winner shuts the others out of a shared disk
 * core-primary.c  the primary's side
 * core-sync.c     the primary's way to a pair, from power-on or running
 * core-backup.c   the backup's side
 * core-silence.c  when a silent peer is suspected
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_CORE_INTERNAL_H
#define FT_CORE_INTERNAL_H

#include "core.h"
#include "core-silence.h"
#include "limits.h"

/* What the lease was asked for.  One question at a time. */
typedef enum FtClaim {
    FT_CLAIM_NONE,
    FT_CLAIM_READ,      /* P: at its start; B: lost its primary in pairing */
    FT_CLAIM_START,     /* P: first or cold start */
    FT_CLAIM_PAIR,      /* P: (g, P, none) -> (g, P, B) */
    FT_CLAIM_UNDO,      /* P: lost B in pairing; name it no more */
    FT_CLAIM_ALONE,     /* P: suspects B */
    FT_CLAIM_UNPAIR,    /* P: a person stops the protection */
    FT_CLAIM_TAKEOVER,  /* B: suspects P, or a test */
} FtClaim;

/* Do outputs leave as acknowledged, instead of at once? */
typedef enum FtHold {
    FT_HOLD_NONE,
    FT_HOLD_ASKED,
    FT_HOLD_HELD,
} FtHold;

struct FtCore {
    /* Fixed. */
    FtCoreConfig config;
    char *identity;             /* config's */

    char *hello;                /* the payload of our HELLO */
    guint64 state_id;           /* what the log begins with; 0: power-on */
    FtRole role;                /* now; config.role is the one at the start */
    FtState state;
    FtReason reason;
    char *text;
    guint64 random;

    /* Of this event: actions, and the memory their pointers point to. */
    GArray *actions;
    GPtrArray *keep;

    /* The session: one log channel from HELLO on. */
    gboolean channel;           /* open */
    guint64 session;            /* 0: none */
    guint64 session_generation; /* the record's, all through the session */
    char peer_node[FT_NODE_MAX];
    guint64 heartbeat_sequence;
    FtSilence silence;          /* the peer's */
    gboolean late;              /* our own signs may come late */

    /* Positions. */
    guint64 appended;           /* B: as the primary's KEEPALIVE says */
    guint64 sent;
    guint64 received;           /* B */
    guint64 committed;          /* B: received, whole transactions */
    guint64 acknowledged;       /* B: as told to the primary */
    guint64 executed;
    guint64 icount;             /* instructions the backup executed */

    /* The lease. */
    FtLeaseRecord lease;        /* as known last */
    FtClaim claim;
    gboolean lease_asked;       /* the answer is outstanding */
    FtLeaseRecord from, to;     /* of the step under way */
    char *cause;                /* why a claim was made, for the text of WON */
    FtReason cause_reason;

    gboolean guest_started;

    /* P: on the way to a pair. */
    gboolean connect_asked;     /* the answer is outstanding */
    gboolean connect_stale;     /* and nobody waits for it any more */
    guint holds;                /* answers to HOLD outstanding */
    FtHold hold;
    guint64 left;               /* HELD: outputs up to here left before it */
    guint64 marks[FT_PAIR_LAG_MS / FT_KEEPALIVE_INTERVAL_MS];
                                /* where the log ended, by keep-alives ago */

    gboolean end_wanted;        /* P: exit once the lease has answered */
    guint64 end_position;       /* ENDING: where the log ends */
};

/* core-table.c */
gboolean ft_core_edge_legal(FtRole role, FtState from, FtState to);

/* core-hello.c */
/* Our HELLO says that the log begins with this state. */
void ft_core_hello_set(FtCore *core, guint64 state_id);
/*
 * Compares the peer's HELLO with ours.  NULL: the same VM, and peer_node
 * is filled.  Else what to tell both people.  *bad: it is no HELLO at all.
 */
char *ft_core_hello_compare(FtCore *core, const guint8 *data, gsize size,
                            gboolean *bad);
/* Bytes of a peer as one line of text that may be shown and logged. */
char *ft_core_clean_text(const guint8 *data, gsize size);

/* core.c */
FtAction *ft_core_act(FtCore *core, FtActionType type);
const char *ft_core_keep(FtCore *core, char *owned);
void ft_core_set_state(FtCore *core, FtState state, FtReason reason,
                       const char *text);
void ft_core_timer(FtCore *core, FtTimer timer, guint delay_ms);
void ft_core_send(FtCore *core, FtFrameType type, guint32 flags,
                  guint64 position, const void *data, gsize size);
void ft_core_close(FtCore *core);
void ft_core_session_begin(FtCore *core, guint64 session, guint64 generation);
/* Both sides know each other: watch the peer. */
void ft_core_watch_begin(FtCore *core);
void ft_core_halt(FtCore *core, FtReason reason, const char *text);
void ft_core_exit(FtCore *core, FtReason reason, const char *text);
guint64 ft_core_random(FtCore *core);

/* core-lease.c */
void ft_core_lease_read(FtCore *core);
/* To (generation + raise, owner, partner) from the record as known. */
void ft_core_lease_step(FtCore *core, FtClaim claim, guint raise,
                        const char *owner, const char *partner);
void ft_core_lease_lost(FtCore *core);
/* A claim begins: the state's reason is why. */
void ft_core_set_cause(FtCore *core);
const char *ft_core_won_text(FtCore *core);
void ft_core_lease_event(FtCore *core, const FtEvent *event);
void ft_core_lease_timer(FtCore *core);

/* core-start.c: the record was read. */
void ft_core_start_on_record(FtCore *core);

/* core-fence.c */
/*
 * The lease was won by a machine that has not run the guest live yet: fences
 * what is shared, then goes on as its role does.
 */
void ft_core_fence_begin(FtCore *core);
void ft_core_fence_event(FtCore *core, const FtEvent *event);
void ft_core_fence_timer(FtCore *core);

/* core-sync.c: a primary on its way to a pair; the channel is open. */
void ft_core_sync_begin(FtCore *core);
void ft_core_sync_tick(FtCore *core);   /* a heartbeat interval went by */
void ft_core_sync_check(FtCore *core);  /* something was acknowledged */
void ft_core_sync_held(FtCore *core, guint64 position);
/* B is not in the record, and won't be: P goes on alone. */
void ft_core_sync_give_up(FtCore *core, FtReason reason, const char *text);
void ft_core_sync_protect(FtCore *core, guint64 state_id,
                          const char *identity);
/* The guest runs, and a backup for it is on its way. */
gboolean ft_core_sync_running(const FtCore *core);
void ft_core_sync_bound(FtCore *core);
void ft_core_sync_connect(FtCore *core);
/* The answer to CONNECT came.  False: nobody waits for it. */
gboolean ft_core_sync_connect_done(FtCore *core);

/* core-primary.c, core-backup.c: an event that core.c did not finish. */
void ft_core_primary_event(FtCore *core, const FtEvent *event);
void ft_core_primary_frame(FtCore *core, const FtEvent *event);
void ft_core_primary_lease(FtCore *core, const FtEvent *event);
void ft_core_primary_send_log(FtCore *core);
/* It holds the lease, and nobody else writes the disks: call the backup. */
void ft_core_primary_started(FtCore *core);
void ft_core_primary_alone(FtCore *core, FtReason reason, const char *text);
void ft_core_primary_lost(FtCore *core, FtReason reason, const char *text);
void ft_core_primary_keepalive(FtCore *core);
void ft_core_backup_event(FtCore *core, const FtEvent *event);
void ft_core_backup_frame(FtCore *core, const FtEvent *event);
void ft_core_backup_lease(FtCore *core, const FtEvent *event);
/* It won, and nobody else writes the disks: execute to the log's end. */
void ft_core_backup_drain(FtCore *core);
void ft_core_backup_lost(FtCore *core, FtReason reason, const char *text);
void ft_core_backup_keepalive(FtCore *core);
/* What arrived is not what this state allows: M26. */
void ft_core_bad_frame(FtCore *core, const char *text);

#endif
