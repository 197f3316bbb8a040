/*
 * The protocol core: roles, sessions, acknowledgements, suspicion, lease
 * steps and going live, as one deterministic state machine.
 *
 * Purpose: events in, actions out.  It has no clock, thread, socket or file.
 *   QEMU drives it (ft/driver.c), the simulator drives two of them against a
 *   lease and a lossy network (tests/sim/), so that what is simulated is
 *   what runs.
 * Thread: one thread at a time per core; the driver's I/O thread owns it.
 * Ownership: an event's pointers belong to the caller and are not kept.
 *   An action's pointers stay valid until the next ft_core_event().
 * Units: time-outs in ms (ft/limits.h), positions in bytes of the log.
 * States, edges and what holds in each: docs/states.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_CORE_H
#define FT_CORE_H

#include "lease.h"
#include "wire.h"

#define FT_POSITION_ALL G_MAXUINT64
/* A line of the identity that both sides must not have the same of. */
#define FT_CORE_APART "apart."

typedef enum FtRole { FT_ROLE_PRIMARY = 1, FT_ROLE_BACKUP = 2 } FtRole;

typedef enum FtState {
    FT_STATE_INIT,        /* nothing known yet */
    FT_STATE_ACQUIRING,   /* P: first or cold start: reading, then claiming */
    FT_STATE_CONNECTING,  /* P: owner, no partner; the backup is called */
    FT_STATE_LISTENING,   /* B: waits for a primary */
    FT_STATE_HANDSHAKE,   /* connected; HELLOs are compared */
    FT_STATE_SYNCING,     /* P: the log is streamed; no partner yet */
    FT_STATE_PAIRING,     /* P: lease step to name B; B: takes the log,
                             waits for PAIRED */
    FT_STATE_PROTECTED,   /* paired; P executes and holds, B replays */
    FT_STATE_CLAIMING,    /* suspects the peer; a claim is under way */
    FT_STATE_FENCING,     /* won; nobody else may write a shared disk first */
    FT_STATE_DRAINING,    /* B: won; executes what it received */
    FT_STATE_ALONE,       /* live and unprotected */
    FT_STATE_ENDING,      /* the VM ends (or P unpairs); the log's end is under
                             way */
    FT_STATE_ENDED,       /* the session ended in order; exit with success */
    FT_STATE_HALTED,      /* fail-stop; nothing leaves any more */
    FT_STATE__MAX
} FtState;

/* Why a state was entered: for people, QMP, the exit status and tests. */
typedef enum FtReason {
    FT_REASON_NONE,
    FT_REASON_STARTED,
    FT_REASON_LEASE_NEW,            /* no record, and new=on was not given */
    FT_REASON_LEASE_NOT_NEW,        /* new=on, but there is a record */
    FT_REASON_LEASE_NOT_ELIGIBLE,   /* cold start by a node not in the record */
    FT_REASON_LEASE_OTHER_VM,       /* the record is another VM's */
    FT_REASON_LEASE_LOST,           /* somebody else won; nothing may leave */
    FT_REASON_LEASE_UNREACHABLE,    /* waiting for storage */
    FT_REASON_FENCE_WAITS,          /* so is the fence of a shared disk */
    FT_REASON_PEER_CONNECTED,
    FT_REASON_PEER_CLOSED,          /* the channel closed without an END */
    FT_REASON_PEER_SILENT,
    FT_REASON_PEER_BAD_FRAME,
    FT_REASON_PEER_BUSY,            /* refused: already paired */
    FT_REASON_PEER_DIFFERS,         /* refused: the VMs are not the same */
    FT_REASON_PEER_REFUSED,
    FT_REASON_PEER_FAILED,          /* B stopped, and said why */
    FT_REASON_PAIRED,
    FT_REASON_NOT_PAIRED,           /* B: the record does not name it */
    FT_REASON_WON,
    FT_REASON_DRAINED,
    FT_REASON_TEST_FAILOVER,
    FT_REASON_UNPAIRED,
    FT_REASON_VM_ENDED,
    FT_REASON_PROTECT,              /* a person asked to protect a running VM */
    FT_REASON_PROTECT_FAILED,       /* and that did not come about */
    FT_REASON_LOCAL_FAILURE,        /* the driver's FT_EVENT_FAIL */
    FT_REASON__MAX
} FtReason;

typedef enum FtTimer {
    FT_TIMER_HEARTBEAT,   /* send a heartbeat and a keep-alive or ack */
    FT_TIMER_SILENCE,     /* has the peer been silent on every path? */
    FT_TIMER_CONNECT,     /* try to connect again */
    FT_TIMER_HANDSHAKE,   /* bound of a handshake */
    FT_TIMER_LEASE,       /* ask the lease again */
    FT_TIMER_PROTECT,     /* bound of protecting a running VM */
    FT_TIMER_FENCE,       /* a fence that takes this long is shown */
    FT_TIMER__MAX
} FtTimer;

typedef enum FtEventType {
    FT_EVENT_START,       /* once, first; what comes before is ignored.  B:
                             its state is loaded, and state_id says which (0:
                             power-on); before, only FAIL and CMD_END count */
    FT_EVENT_CONNECTED,   /* the log channel is open */
    FT_EVENT_CONNECT_FAILED, /* P: answer to FT_ACTION_CONNECT; text: why */
    FT_EVENT_CLOSED,      /* the log channel is gone; text: why */
    FT_EVENT_FRAME,       /* a frame whose CRC is right: frame, data, size */
    FT_EVENT_BAD_FRAME,   /* bytes that are no frame; text: why */
    FT_EVENT_IDLE,        /* no further frame is waiting: acknowledge now */
    FT_EVENT_HEARTBEAT,   /* a valid datagram; heartbeat */
    FT_EVENT_TIMER,       /* timer */
    FT_EVENT_LEASE,       /* answer to LEASE_STEP or LEASE_READ: result, record, text.
                             LEASE_READ answers WON when the record was read */
    FT_EVENT_FENCED,      /* to FT_ACTION_FENCE.  result WON: no other machine's
                             write lands on a shared disk any more; UNKNOWN: it
                             takes longer, text: why, and another answer comes;
                             LOST: the disk says that a later one has it */
    FT_EVENT_APPENDED,    /* P: the log ends at position, a whole transaction */
    FT_EVENT_EXECUTED,    /* B: executed up to position; icount.  Before each
                             timer at least */
    FT_EVENT_HELD,        /* P: answer to FT_ACTION_HOLD: outputs wait now;
                             those up to position may have left before */
    FT_EVENT_DRAINED,     /* B: all received is executed and the VM is live */
    FT_EVENT_FAIL,        /* driver: this side can't go on (divergence, bad
                             entry, disk); text: why.  Fail-stop */
    FT_EVENT_CMD_FAILOVER,
    FT_EVENT_CMD_STOP,    /* P: stop protecting */
    FT_EVENT_CMD_END,     /* P: the VM ends at position; B: this process ends */
    FT_EVENT_CMD_PROTECT, /* P alone: state_id (not 0) was taken from the
                             running machine, and a log has begun there with
                             position 0; a backup will have that state.
                             text: the machine's identity there, or NULL: as
                             in the config */
    FT_EVENT_PROTECT_FAILED, /* P: the state can't be had; text: why.  Before
                             the lease names B it ends the attempt; alone it
                             is shown; later it is ignored */
} FtEventType;

typedef struct FtEvent {
    FtEventType type;
    const FtFrame *frame;
    const guint8 *data;
    gsize size;
    const FtHeartbeat *heartbeat;
    FtTimer timer;
    FtLeaseResult result;
    const FtLeaseRecord *record;
    guint64 position;
    guint64 icount;
    guint64 state_id;
    const char *text;
} FtEvent;

typedef enum FtActionType {
    FT_ACTION_STATE,       /* state, reason, text changed (already in effect) */
    FT_ACTION_CONNECT,     /* P: open the channel; answered by an event */
    FT_ACTION_CLOSE,       /* close the channel; sends what is queued first.
                              No event of that channel comes after it */
    FT_ACTION_SEND,        /* frame with payload data/size */
    FT_ACTION_SEND_LOG,    /* log bytes [from, to) as LOG frames */
    FT_ACTION_SEND_HEARTBEAT, /* heartbeat */
    FT_ACTION_TIMER,       /* arm timer for delay_ms (0: disarm) */
    FT_ACTION_LEASE_STEP,  /* from_record -> to_record; one event answers */
    FT_ACTION_LEASE_READ,  /* one event answers */
    FT_ACTION_FENCE,       /* to_record was won, and this machine has not run
                              the guest live in that generation: shut the
                              others out of the shared disks.  FT_EVENT_FENCED
                              answers, however long it takes */
    FT_ACTION_LOG_BEGIN,   /* both: a session's log starts at 0.  P: the guest
                              has not started; outputs are held from here */
    FT_ACTION_HOLD,        /* P: outputs beyond position wait from now on for
                              RELEASE; answered by FT_EVENT_HELD */
    FT_ACTION_START_GUEST, /* both: the guest may run.  B: the log may be
                              executed */
    FT_ACTION_STORE,       /* B: log bytes data/size received at position */
    FT_ACTION_COMMIT,      /* B: whole transactions up to position may be executed */
    FT_ACTION_RELEASE,     /* P: outputs up to position may leave (ALL: all, and
                              from now on at once) */
    FT_ACTION_LOG_TRIM,    /* P: log before position is not needed any more */
    FT_ACTION_DRAIN,       /* B: won; execute all committed, go live, then
                              FT_EVENT_DRAINED */
    FT_ACTION_ANNOUNCE,    /* live: announce the MACs */
    FT_ACTION_SINK_EMPTY,  /* alone: the log goes nowhere */
    FT_ACTION_HALT,        /* stop the vCPU, release nothing, exit: reason, text */
    FT_ACTION_EXIT,        /* ended in order: exit with success */
} FtActionType;

typedef struct FtAction {
    FtActionType type;
    FtState old_state, state;
    FtReason reason;
    const char *text;
    FtFrame frame;
    const guint8 *data;
    gsize size;
    guint64 from, to, position;
    FtHeartbeat heartbeat;
    FtTimer timer;
    guint delay_ms;
    FtLeaseRecord from_record, to_record;
} FtAction;

typedef struct FtCoreConfig {
    FtRole role;
    gboolean new_vm;                /* P: an empty lease may be taken */
    char node[FT_NODE_MAX];
    guint8 vm_uuid[16];
    FtLeaseDisks disks;
    /*
     * What both sides must have the same of: lines "key=value\n", sorted by
     * the driver, each key once.  The first line that differs is named in
     * the refusal.
     */
    const char *identity;
    guint64 seed;                   /* for session numbers and nonces */
} FtCoreConfig;

typedef struct FtCoreStatus {
    FtRole role;                    /* now: a backup that is live is primary */
    FtState state;
    FtReason reason;
    FtReason cause;                 /* why the last protection ended, or the
                                       claim under way began; NONE: neither */
    const char *text;               /* detail of reason; valid until the next event */
    const char *hello;              /* our HELLO's payload now; as text */
    guint64 session, generation;
    guint64 session_generation;     /* when the session began */
    guint64 appended, sent, acknowledged, executed;
    guint64 peer_icount;            /* P: instructions the backup executed */
    FtLeaseRecord lease;            /* as known last */
    const char *peer_node;          /* "" when there was none yet */
    gboolean heartbeats_seen;       /* the datagram path works (last interval) */
    guint jitter_ms;                /* the peer's longest silence of late */
    guint suspect_ms;               /* it is suspected after this; 0: never */
} FtCoreStatus;

typedef struct FtCore FtCore;

FtCore *ft_core_new(const FtCoreConfig *config);
void ft_core_free(FtCore *core);
/*
 * Before START: the process has no precedence on its host, so its signs may
 * come late.  The peer is told.
 */
void ft_core_set_late(FtCore *core);
/*
 * Feeds one event.  Returns the actions to carry out, in order, and their
 * number in *count; valid until the next call.
 */
const FtAction *ft_core_event(FtCore *core, const FtEvent *event, guint *count);
void ft_core_status(const FtCore *core, FtCoreStatus *status);
/* Is a heartbeat this session's peer's?  Anybody can send one. */
gboolean ft_core_peer_sent(const FtCore *core, const FtHeartbeat *heartbeat);
/*
 * May this command (FT_EVENT_CMD_*) be given now?  False: *why (a static
 * string) says why not and what to do.  Given all the same, it is ignored.
 */
gboolean ft_core_can(const FtCore *core, FtEventType command,
                     const char **why);

/* A node's name: printable, no quotation marks, fits FT_NODE_MAX. */
gboolean ft_core_node_valid(const char *node);

/*
 * The payload of this machine's HELLO, lines "key=value\n", for a log that
 * begins with this state (0: power-on); g_free.
 */
char *ft_core_hello_new(const FtCoreConfig *config, guint64 state_id);
/*
 * The first line that two HELLOs' payloads have otherwise, but for the
 * node, as a sentence with both names; NULL: none.  g_free.
 */
char *ft_core_hello_difference(const char *a, const char *a_name,
                               const char *b, const char *b_name);

const char *ft_core_state_name(FtState state);    /* "protected" */
const char *ft_core_reason_name(FtReason reason); /* "peer-closed" */
/* One sentence for a person, with the next step where there is one. */
const char *ft_core_reason_text(FtReason reason);

#endif
