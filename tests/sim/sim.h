/*
 * The simulator: cores, a lease and a bad network in one process.
 *
 * Purpose: everything that happens follows from a seed.  The cores are the
 *   ones QEMU runs; the machine, the driver around each core, the network
 *   and the storage are toys that misbehave as real ones may.
 *
 * ft-sim.c      command line; runs seeds
 * sim-world.c   the queue of what happens next; faults; a run
 * sim-node.c    a process: driver of a core
 * sim-life.c    and how it begins and ends
 * sim-machine.c the toy machine that it drives
 * sim-state.c   a running machine's state goes to a new backup
 * sim-net.c     channels and datagrams
 * sim-disk.c    a shared disk
 * sim-lease.c   storage
 * sim-check.c   the invariants
 * sim-mutate.c  ways to break the protocol, one or more an invariant
 *
 * Units: times in microseconds of simulated time, positions in bytes.  The
 *   simulator counts positions from the machine's power-on; a log that began
 *   later has a base.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SIM_H
#define SIM_H

#include <glib.h>

#include "core.h"
#include "limits.h"

enum {
    SIM_MS = 1000,
    SIM_FAULTS_MS = 4000,       /* faults begin and end in here */
    SIM_END_MS = 11000,         /* the bound of invariant 7, after them */
    SIM_PROTECT_MS = 3000,      /* and from a call of a new backup to a pair */
    SIM_NODES = 3,              /* "a" and "b", and a stranger "c" */
    SIM_ENTRY = 16,             /* bytes of a log entry of the toy machine */
    SIM_BUFFER = 128 * SIM_ENTRY,
    SIM_BLOCKS = 4,             /* of the shared disk */
    SIM_WRITE_MS = 4000,        /* the bound of a write, in invariant 7 */
};

#define SIM_IDENTITY "machine.ram=256M\nmachine.type=pc\n"

typedef enum SimMutation {
    SIM_MUTATION_NONE,
    SIM_MUTATION_GUESS_WON,
    SIM_MUTATION_NO_LEASE,
    SIM_MUTATION_RELEASE_ON_SEND,
    SIM_MUTATION_ACK_ON_HEADER,
    SIM_MUTATION_SKIP_DRAIN,
    SIM_MUTATION_HALF_TRANSACTION,
    SIM_MUTATION_UNLOGGED_INPUT,
    SIM_MUTATION_DROP_HELD,
    SIM_MUTATION_UNGATE_EARLY,
    SIM_MUTATION_IGNORE_HALT,
    SIM_MUTATION_PAIR_BY_MESSAGE,
    SIM_MUTATION_START_ANYWHERE,
    SIM_MUTATION_GIVE_UP,
    SIM_MUTATION_TRUST_CLOSE,
    SIM_MUTATION_TRUST_FAILED,
    SIM_MUTATION_HOLD_LATE,
    SIM_MUTATION_PAIR_BEHIND,
    SIM_MUTATION_PAIR_BEFORE_STATE,
    SIM_MUTATION_RELEASE_UNKNOWN,
    SIM_MUTATION_WRONG_STATE,
    SIM_MUTATION_UNKNOWN_LOST,
    SIM_MUTATION_ACK_BEFORE_APPEND,
    SIM_MUTATION_RELEASE_AT_APPEND,
    SIM_MUTATION_WRITE_AT_APPEND,
    SIM_MUTATION_SKIP_FENCE,
    SIM_MUTATION_SKIP_BARRIER,
    SIM_MUTATION_OVERLAP,
    SIM_MUTATION_SKIP_REISSUE,
    SIM_MUTATION_COMPLETE_EARLY,
    SIM_MUTATION_FORGET_PENDING,
    SIM_MUTATION__MAX
} SimMutation;

typedef struct SimMutationInfo {
    const char *name;
    guint invariants;           /* bits: those it may be found by */
    const char *text;
} SimMutationInfo;

extern const SimMutationInfo sim_mutations[SIM_MUTATION__MAX];

typedef enum SimWhat {
    SIM_START,
    SIM_TIMER,                  /* a: which, b: its arming */
    SIM_CONNECT,
    SIM_DELIVER,                /* a: channel */
    SIM_DATAGRAM,               /* data */
    SIM_LEASE_ARRIVE,           /* data: SimRequest; not a node's */
    SIM_LEASE_ANSWER,           /* data: SimRequest */
    SIM_WRITE_SEND,             /* data: a write */
    SIM_WRITE_ARRIVE,           /* the same; not a node's */
    SIM_WRITE_LAND,
    SIM_WRITE_DONE,             /* a node's again */
    SIM_FENCE_ARRIVE,           /* data: a fence; not a node's */
    SIM_FENCED,                 /* a: result */
    SIM_RESUME,                 /* a process stopped amid its actions */
    SIM_EXECUTE,
    SIM_EMIT,                   /* a: position, as released */
    SIM_HELD,                   /* a: position */
    SIM_LOADED,                 /* data: a state */
    SIM_STATE_LOST,
    SIM_FAULT,                  /* a: SimFault, b: its number; not a node's */
} SimWhat;

typedef struct SimEvent {
    gint64 at;
    guint64 number;             /* order of events of one time */
    SimWhat what;
    gint8 node;                 /* -1: not a node's */
    guint life;                 /* of the node: a killed process gets none */
    guint64 a, b;
    gpointer data;
} SimEvent;

/* One boot of the VM, whoever runs it. */
typedef struct SimBoot {
    GArray *seen;               /* by entry: the output the world saw, or 0 */
    gint64 seen_last;           /* the highest such entry, -1: none */
    guint seen_all;             /* no output before this entry is missing */
    GHashTable *ends;           /* log positions where a transaction ends */
    guint64 over;               /* the VM ended here; 0: it did not */
    gboolean started;
} SimBoot;

typedef struct SimPipe {
    GQueue packets;             /* SimPacket */
    gint64 last_at;
    gboolean cut;
    gboolean dead;              /* and stays so: somebody forgot about it */
} SimPipe;

typedef struct SimChannel {
    gint boot;                  /* whose log begins; -1: none yet */
    gint8 node[2];              /* [0] connected to [1]; -1: nobody there */
    gboolean open[2];
    SimPipe to[2];
} SimChannel;

/* A write of the guest, from its submission to its completion. */
typedef struct SimRequestWrite {
    guint entry;                /* of the submission; its name */
    guint block;
    guint64 value;
    gint64 since;
    gboolean issued;
} SimRequestWrite;

/* What a block holds: the write that landed last.  entry: of its boot. */
typedef struct SimBlock {
    gint boot;
    guint entry;
    guint64 value, generation;
} SimBlock;

typedef struct SimDisk {
    guint64 holder;             /* process that may write; 0: none */
    guint64 generation;         /* as whose it holds it */
    gint64 busy_until;          /* what was taken has landed then */
    SimBlock blocks[SIM_BLOCKS];
} SimDisk;

typedef struct SimNode {
    gint8 index;
    const char *name;
    FtRole role;                /* now */
    FtCore *core;
    gboolean alive;             /* the process is */
    guint life;
    gint64 paused_until;
    guint armed[FT_TIMER__MAX];
    guint suspect_ms;           /* as the core said at its last tick */
    guint silent_ticks;         /* since it was given a sign of its peer */
    gint channel;               /* -1: none */
    gint8 peer;
    gint8 target;               /* where it connects to; -1: the world's */
    FtState state;
    gboolean followed;          /* P: at its death its backup was there */
    /* The toy machine and the driver's part. */
    gint boot;                  /* -1: none */
    gboolean guest, ungated, draining;
    gboolean off;               /* P: the VM ended */
    gboolean loaded;            /* it has the state that its log begins with */
    GArray *chain;              /* the state after each executed entry */
    guint64 base;               /* where the log begins */
    GByteArray *log;            /* P: written; B: received */
    guint64 committed;          /* B: may be executed */
    guint64 acknowledged;       /* B: and this it said it has */
    guint64 released;
    guint64 loose;              /* P: held since; up to here they may leave */
    guint64 partner;            /* P: the process that it streams to */
    guint64 held;               /* P: and that one holds the log up to here */
    guint emit_next;            /* entry */
    guint64 left;               /* B: outputs up to here have left P */
    guint64 drain_to;
    GArray *pending;            /* SimRequestWrite, in order */
    guint completed[SIM_BLOCKS]; /* its last write, as entry + 1 */
    guint stop_in;              /* actions; 0: it is not stopped amid them */
    GArray *rest;               /* FtAction: it was stopped before these */
    GPtrArray *rest_data;       /* and what they point to of an event */
} SimNode;

typedef struct SimRequest {
    gint8 node;
    guint life;
    gboolean read;
    gboolean late;              /* answered already, as unknown */
    FtLeaseRecord from, to;
    FtLeaseResult result;
    FtLeaseRecord now;
} SimRequest;

typedef struct Sim {
    guint64 seed;
    GRand *rand;
    gint64 now;
    guint64 numbers;
    GArray *queue;              /* SimEvent, a heap */
    SimMutation mutation;
    gboolean verbose;

    SimNode nodes[SIM_NODES];
    gint8 target;               /* where a primary connects to */
    GPtrArray *channels;
    GPtrArray *boots;

    /* Network. */
    guint channel_delay_us, datagram_delay_us;
    guint datagram_loss_percent;
    gboolean datagrams_cut;
    gboolean channels_cut;
    guint corrupt_next;         /* packets until one is damaged; 0: none */

    /* Storage. */
    FtLeaseRecord lease;
    GArray *lease_history;      /* FtLeaseRecord, as they came */
    gint64 lease_away_until;
    guint lease_unknown_percent;
    guint lease_delay_us;
    guint fence_delay_us, disk_delay_us, disk_late_percent;

    gboolean shared;            /* both have one disk */
    SimDisk disk;

    GHashTable *live;           /* generation -> node and life that were live */
    gboolean operator;          /* whoever runs alone gets a new backup */
    guint hasty;                /* silence is counted so many times too fast,
                                   while there are faults */
    gint64 attempt_at;          /* the last one */
    gboolean quiet;             /* the faults are over */
    gboolean ended;             /* a person or the VM ended it */
    guint pairs;                /* that were made */
    guint fatal;                /* kills, failures, damaged frames */

    guint violated;             /* invariant; 0: none */
    char *violation;
} Sim;

/* Counted over all runs, to see what the seeds reach. */
typedef struct SimCoverage {
    guint64 edges[3][FT_STATE__MAX][FT_STATE__MAX];
    guint64 events, takeovers, alone, halts, unknown, unknown_landed;
    guint64 protected_running;
    guint64 landed, refused, reissued;          /* writes */
    guint64 stops;                              /* amid actions */
    guint64 silent, silent_soon, silent_hasty;  /* peers suspected */
    guint pairs_most;           /* of one run */
} SimCoverage;

extern SimCoverage sim_coverage;

/* sim-world.c */
void sim_say(Sim *sim, const SimNode *node, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
void sim_later(Sim *sim, gint64 delay, SimWhat what, const SimNode *node,
               guint64 a, guint64 b, gpointer data);
gboolean sim_chance(Sim *sim, guint percent);
gint64 sim_between(Sim *sim, gint64 low, gint64 high);
Sim *sim_run(guint64 seed, SimMutation mutation, gboolean verbose);
void sim_free(Sim *sim);

/* sim-life.c */
void sim_node_start(Sim *sim, SimNode *node, FtRole role, gboolean new_vm,
                    const char *identity);
/* A backup that starts when its state is loaded. */
void sim_node_load(Sim *sim, SimNode *node, const char *identity);
void sim_node_kill(Sim *sim, SimNode *node);
void sim_node_clear(SimNode *node);

/* sim-node.c */
guint64 sim_node_key(const SimNode *node);
void sim_node_event(Sim *sim, SimNode *node, const FtEvent *event);
void sim_node_happens(Sim *sim, SimNode *node, const SimEvent *event);

/* sim-net.c */
void sim_net_connect(Sim *sim, SimNode *node);
void sim_net_connect_arrives(Sim *sim, SimNode *node);
void sim_net_send(Sim *sim, SimNode *node, const FtFrame *frame,
                  const guint8 *data);
typedef enum SimClose {
    SIM_CLOSE_END,              /* after what is queued */
    SIM_CLOSE_RESET,            /* what is queued is lost */
    SIM_CLOSE_SILENT,           /* power is off: nobody tells the peer */
} SimClose;
void sim_net_close(Sim *sim, SimNode *node, SimClose how);
void sim_net_deliver(Sim *sim, SimNode *node, guint channel);
void sim_net_cut(Sim *sim, gboolean cut, gboolean one_way);
void sim_net_reset_all(Sim *sim);
void sim_net_heartbeat(Sim *sim, SimNode *node, const FtHeartbeat *heartbeat);
void sim_net_datagram(Sim *sim, SimNode *node, const guint8 *datagram);
void sim_net_free(Sim *sim);

/* sim-machine.c: positions in bytes from power-on, but for _left */
guint64 sim_machine_executed(const SimNode *node);
void sim_machine_execute(Sim *sim, SimNode *node);
void sim_machine_emit(Sim *sim, SimNode *node, guint64 position);
/* The write of this entry is complete.  False: it can't be logged now. */
gboolean sim_machine_completes(Sim *sim, SimNode *node, guint entry);
/* The position in its log up to which outputs have left. */
guint64 sim_machine_left(const SimNode *node);

/* sim-state.c */
void sim_state_operator(Sim *sim);
void sim_state_loaded(Sim *sim, SimNode *node, gconstpointer data);
void sim_state_lost(Sim *sim, SimNode *node);

/* sim-disk.c */
gboolean sim_is_write(guint64 state);
void sim_disk_submit(Sim *sim, SimNode *node, guint entry, guint64 value);
void sim_disk_complete(Sim *sim, SimNode *node, guint entry);
/* Issues what was submitted before this entry. */
void sim_disk_issue(Sim *sim, SimNode *node, guint before);
/* It took over: what has a start and no completion is issued again. */
void sim_disk_live(Sim *sim, SimNode *node);
void sim_disk_check(Sim *sim, const SimNode *node, guint block);
void sim_disk_check_end(Sim *sim, const SimNode *node);
void sim_fence_ask(Sim *sim, SimNode *node);
/* node: NULL if the event is the disk's own. */
void sim_disk_happens(Sim *sim, SimNode *node, const SimEvent *event);

/* sim-lease.c */
void sim_lease_ask(Sim *sim, SimNode *node, const FtAction *action);
void sim_lease_arrives(Sim *sim, SimRequest *request);

/* sim-check.c */
SimBoot *sim_boot_new(void);
void sim_boot_free(gpointer boot);
SimBoot *sim_boot_of(Sim *sim, const SimNode *node);
void sim_violate(Sim *sim, guint invariant, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
void sim_check_state(Sim *sim, SimNode *node, FtState old);
gboolean sim_is_output(guint64 state);
guint64 sim_generation_of(const SimNode *node);
void sim_check_emit(Sim *sim, SimNode *node, guint entry);
void sim_check_issue(Sim *sim, SimNode *node, guint entry);
void sim_check_landed(Sim *sim, gint boot, guint entry, guint64 value);
void sim_check_release(Sim *sim, SimNode *node, guint64 position);
void sim_check_dies(Sim *sim, SimNode *node);
void sim_check_exit(Sim *sim, SimNode *node);
void sim_check_step(Sim *sim, const FtLeaseRecord *from,
                    const FtLeaseRecord *to);
void sim_check_end(Sim *sim);

#endif
