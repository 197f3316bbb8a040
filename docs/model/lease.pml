/*
 * Roles, lease and generations of a protected VM, for spin.
 *
 * README.md says in words what this is, how to run it and how to read what
 * it finds.  The bounds below make it finite; MUTATE_* break the protocol,
 * and spin has to find each.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HOSTS
#define HOSTS 3         /* machines; 0 makes the VM, any may be a backup */
#endif
#ifndef ENTRIES
#define ENTRIES 2       /* of the log; each is an output and a write */
#endif
#ifndef CLAIMS
#define CLAIMS 4        /* steps that are asked of the lease, in all */
#endif
#ifndef FAULTS
#define FAULTS 2        /* crashes and wrong suspicions, in all */
#endif
#ifndef STARTS
#define STARTS 2        /* of each machine */
#endif

#define NONE 7          /* no machine */

/* What has to hold, with the number of docs/protocol.md, which spin prints. */
#define LAW(number, what) assert((what) || number == 0)

mtype = {
    DOWN, READING, ACQUIRING, FENCING, LIVE, SYNCING, PAIRING, UNDOING,
    PROTECTED, CLAIMING, FOLLOWING, LOOKING, TAKING, SHUTTING, DRAINING
};

/*
 * A claim's number is its nonce.  The lease's record is the claim that was
 * done last; 0: there is none.
 */
typedef Claim {
    byte from;          /* the record it replaces */
    byte generation, owner, partner
};
Claim claim[CLAIMS + 1];
byte claims;            /* made so far */
byte record;

/* The disk: who may write, and the write that landed last. */
byte holder;            /* the generation that fenced it */
byte disk_boot, disk_entry, disk_author;

/* What the world saw of the VM that was switched on last. */
byte world_boot, world_seen;
byte world_author[ENTRIES + 1];

byte live_in[CLAIMS + 2];       /* generation -> machine + 1 */
byte sessions, faults;
bool truncated;                 /* a bound stopped somebody */

typedef Machine {
    mtype state;
    byte starts;
    byte known;         /* the record, as it knows it */
    byte asked;         /* claim under way; 0: none */
    byte key;           /* generation in which it went live; its writes' key */
    byte boot;          /* generation in which the VM was switched on */
    byte author[ENTRIES + 1];   /* its log: who made each entry */
    byte length;        /* P: appended; B: received */
    byte executed;      /* B */
    byte acknowledged;  /* B: said; P: heard */
    byte released;      /* P: outputs that left */
    byte left;          /* P: of these, before it held them */
    bool held;          /* P */
    byte session, peer;
    byte told;          /* P: the record in its PAIRED, 0: not sent */
    byte session_generation;
    /* One write on its way to the disk; 0: none.  It outlives the process. */
    byte write, write_boot, write_author, write_key
};
Machine m[HOSTS];

#define M m[n]
#define PEER m[M.peer]
#define GENERATION(c) claim[c].generation
#define TOGETHER (M.session != 0 && PEER.session == M.session)

/* --- the lease ----------------------------------------------------------- */

/* Compare and set; done twice it does nothing. */
inline apply(c) {
    if
    :: record == claim[c].from ->
        /* 6: who wins was in the record, or it is the first. */
        LAW(6, record == 0 || claim[record].owner == claim[c].owner ||
               claim[record].partner == claim[c].owner);
        record = c
    :: else
    fi
}

inline ask(raise, other) {
    if
    :: claims < CLAIMS ->
        claims++;
        claim[claims].from = M.known;
        claim[claims].generation = GENERATION(M.known) + raise;
        claim[claims].owner = n;
        claim[claims].partner = other;
        M.asked = claims
    :: else ->
        truncated = true;
        stop()
    fi
}

/* --- machines ------------------------------------------------------------ */

/* A process ends.  What it has sent is on its way still. */
inline stop() {
    M.state = DOWN;
    M.known = 0;
    M.asked = 0;
    M.session = 0;
    M.told = 0;
    M.held = false;
    M.length = 0;
    M.executed = 0;
    M.acknowledged = 0;
    M.released = 0;
    M.left = 0;
    M.key = 0;
    M.boot = 0;
    M.peer = n;
    M.session_generation = 0;
    i = 1;
    do
    :: i <= ENTRIES -> M.author[i] = 0; i++
    :: else -> break
    od;
    i = 0
}

inline close() {
    M.session = 0;
    M.told = 0
}

/* The guest runs, and its outputs leave at once. */
inline go_live() {
    /* 1: it won this generation, and is the only one. */
    LAW(1, claim[M.known].owner == n);
    LAW(1, live_in[GENERATION(M.known)] == 0 ||
           live_in[GENERATION(M.known)] == n + 1);
    live_in[GENERATION(M.known)] = n + 1;
    M.held = false;
    M.state = LIVE
}

/* 4: it passed all that the world saw. */
inline passed() {
    if
    :: world_boot == M.boot ->
        LAW(4, M.length >= world_seen);
        i = 1;
        do
        :: i <= world_seen ->
            LAW(4, world_author[i] == 0 || world_author[i] == M.author[i]);
            i++
        :: else -> break
        od
    :: else
    fi;
    i = 0
}

/* The VM is switched on. */
inline switch_on() {
    M.key = GENERATION(M.known);
    M.boot = M.key;
    go_live()
}

inline take_over() {
#ifndef MUTATE_SKIP_DRAIN
    /* 3 */
    LAW(3, M.executed == M.length);
#else
    M.length = M.executed;
#endif
    LAW(3, M.length >= M.acknowledged);
    passed();
    M.key = GENERATION(M.known);
    /* The last write has no completion: it is issued again. */
    M.released = (M.length > 0 -> M.length - 1 : 0);
    go_live()
}

/* Storage says won; the claim's kind is in the state. */
inline won() {
    M.known = M.asked;
    M.asked = 0;
    if
    :: M.state == ACQUIRING -> M.state = FENCING
    :: M.state == TAKING -> M.state = SHUTTING; close()
    :: M.state == CLAIMING -> go_live()
    :: M.state == PAIRING -> M.state = PROTECTED; M.told = M.known
    :: M.state == UNDOING -> M.state = CLAIMING; ask(1, NONE)
    fi
}

/* 7: to another machine; at a start also to a step of its own that is late,
   and a person starts it again. */
inline lost() {
    LAW(7, M.state == ACQUIRING || claim[record].owner != n);
    truncated = truncated || (M.state == ACQUIRING && M.starts == STARTS);
    stop()
}

inline answered() {
    apply(M.asked);
    if
#ifdef MUTATE_LOST_BY_MISCOMPARE
    :: record == M.asked -> won()
    :: record == M.asked -> lost()
#else
    :: record == M.asked -> won()
#endif
    :: record != M.asked -> lost()
    fi
}

/* 1 to 5, for one output and the write that goes with it. */
inline release() {
    M.released++;
    /* 1: who holds nothing is the owner, and nobody is named. */
    LAW(1, M.held || record == M.known || M.asked == record);
    /* 2: whoever may win has it. */
    LAW(2, claim[record].owner != n || claim[record].partner == NONE ||
           m[claim[record].partner].session != M.session ||
           M.session == 0 ||
           m[claim[record].partner].length >= M.released);
    if
    :: world_boot < M.boot ->
        world_boot = M.boot;
        world_seen = 0;
        i = 1;
        do
        :: i <= ENTRIES -> world_author[i] = 0; i++
        :: else -> break
        od;
        i = 0
    :: else
    fi;
    if
    :: world_boot == M.boot ->
        LAW(4, world_author[M.released] == 0 ||
               world_author[M.released] == M.author[M.released]);
        world_author[M.released] = M.author[M.released];
        world_seen = (M.released > world_seen -> M.released : world_seen)
    :: else             /* late, of a VM that was switched on anew since */
    fi;
    M.write = M.released;
    M.write_boot = M.boot;
    M.write_author = M.author[M.released];
    M.write_key = M.key
}

#define RUNS (M.state == LIVE || M.state == SYNCING || M.state == PAIRING || \
              M.state == UNDOING || M.state == PROTECTED || \
              M.state == CLAIMING)
#define LIMIT (M.held -> M.acknowledged : M.length)
#ifdef MUTATE_RELEASE_AT_APPEND
#undef LIMIT
#define LIMIT M.length
#endif

#ifdef MUTATE_HOLD_LATE
#define MAY_ASK true
#else
#define MAY_ASK (M.held && M.acknowledged >= M.left)
#endif

/* May the other be taken for lost? */
#define LOST (!TOGETHER || faults < FAULTS)
inline suspect() {
    if
    :: TOGETHER -> faults++
    :: else
    fi
}

#define IS_FREE(b) (m[b].state == DOWN && m[b].starts < STARTS && \
                    sessions < CLAIMS)

/* The backup gets the running machine's state, and follows from there. */
inline begin_session(b) {
    sessions++;
    m[b].starts++;
    m[b].state = FOLLOWING;
    m[b].boot = M.boot;
    m[b].session = sessions;
    m[b].peer = n;
    m[b].session_generation = GENERATION(M.known);
    i = 1;
    do
    :: i <= M.length -> m[b].author[i] = M.author[i]; i++
    :: else -> break
    od;
    i = 0;
    m[b].length = M.length;
    m[b].executed = M.length;
    m[b].acknowledged = M.length;
    M.acknowledged = M.length;
    M.peer = b;
    M.session = sessions;
    M.state = SYNCING
}

proctype machine(byte n) {
    byte i;

end:
    do
    /* Starting: anew or as a backup (that is in begin_session). */
    :: atomic { M.state == DOWN && M.starts < STARTS &&
                (record != 0 || n == 0) ->
        M.starts++;
        M.state = READING }
    :: atomic { M.state == READING ->
        M.known = record;
        if
#ifndef MUTATE_START_ANYWHERE
        :: record != 0 && claim[record].owner != n &&
           claim[record].partner != n -> stop()
#endif
        :: else -> M.state = ACQUIRING; ask(1, NONE)
        fi }

    /* The lease answers.  That it may say "unknown" is no step of its own:
       the same is asked again. */
    :: atomic { M.asked != 0 -> answered() }
#ifdef MUTATE_UNKNOWN_WON
    :: atomic { M.asked != 0 -> won() }
#endif
#ifdef MUTATE_UNKNOWN_LOST
    :: atomic { M.asked != 0 -> lost() }
#endif

    /* The fence.  It names the holder that it read. */
    :: atomic { M.state == FENCING || M.state == SHUTTING ->
        if
#ifdef MUTATE_SKIP_FENCE
        :: true ->
#else
        :: holder >= GENERATION(M.known) -> stop()
        :: else ->
            holder = GENERATION(M.known);
#endif
            if
            :: M.state == FENCING -> switch_on()
            :: else -> M.state = DRAINING
            fi
        fi }
#ifdef MUTATE_SKIP_DRAIN
    :: atomic { M.state == DRAINING -> take_over() }
#else
    :: atomic { M.state == DRAINING && M.executed == M.length ->
        take_over() }
#endif

    /* The guest. */
    :: atomic { RUNS && M.length < ENTRIES ->
        M.length++;
        M.author[M.length] = M.key }
    :: atomic { RUNS && M.released < LIMIT && M.write == 0 -> release() }

    /* A primary on its way to a pair. */
    :: atomic { M.state == LIVE && n != 0 && IS_FREE(0) -> begin_session(0) }
    :: atomic { M.state == LIVE && n != 1 && IS_FREE(1) -> begin_session(1) }
#if HOSTS > 2
    :: atomic { M.state == LIVE && n != 2 && IS_FREE(2) -> begin_session(2) }
#endif
    :: atomic { M.state == SYNCING && !M.held ->
        M.left = M.released;
#ifndef MUTATE_HOLD_LATE
        M.held = true
#endif
        }
    :: atomic { M.state == SYNCING && MAY_ASK ->
        M.state = PAIRING;
        ask(0, M.peer) }
    :: atomic { M.state == SYNCING && LOST ->
        suspect();
        close();
        go_live() }
    :: atomic { M.state == PAIRING && LOST ->
        suspect();
        close();
#ifdef MUTATE_UNRESOLVED
        M.asked = 0;
        go_live()
#else
        M.state = UNDOING
#endif
        }
#ifdef MUTATE_HOLD_LATE
    :: atomic { M.state == PROTECTED && !M.held -> M.held = true }
#endif
    /* A pair. */
    :: atomic { (M.state == SYNCING || M.state == PAIRING ||
                 M.state == PROTECTED) && TOGETHER &&
                M.acknowledged < PEER.acknowledged ->
        M.acknowledged = PEER.acknowledged }
    :: atomic { M.state == PROTECTED && LOST ->
        suspect();
        close();
        M.state = CLAIMING;
#ifdef MUTATE_UNGATE_EARLY
        M.held = false;
#endif
        ask(1, NONE) }

    /* A backup. */
    :: atomic { M.state == FOLLOWING && TOGETHER && M.length < PEER.length ->
        M.length++;
        M.author[M.length] = PEER.author[M.length] }
    :: atomic { M.state == FOLLOWING && M.acknowledged < M.length ->
        M.acknowledged = M.length }
#ifdef MUTATE_ACK_BEFORE_APPEND
    :: atomic { M.state == FOLLOWING && TOGETHER &&
                M.acknowledged < PEER.length ->
        M.acknowledged = PEER.length }
#endif
    :: atomic { (M.state == FOLLOWING || M.state == TAKING ||
                 M.state == SHUTTING || M.state == DRAINING) &&
                M.executed < M.length ->
        M.executed++ }
    :: atomic { M.state == FOLLOWING && M.known == 0 && TOGETHER &&
                PEER.told != 0 ->
        M.known = PEER.told }
    :: atomic { M.state == FOLLOWING && LOST ->
        suspect();
        if
        :: M.known != 0 -> M.state = TAKING; ask(1, NONE)
        :: else -> M.state = LOOKING
        fi }
    :: atomic { M.state == LOOKING ->
        if
        :: claim[record].owner == M.peer && claim[record].partner == n &&
           GENERATION(record) == M.session_generation ->
            M.known = record;
            M.state = TAKING;
            ask(1, NONE)
        :: else -> stop()
        fi }

    /* It dies. */
    :: atomic { M.state != DOWN && faults < FAULTS -> faults++; stop() }
    od
}

/* Steps that nobody waits for any more are done late, or never. */
#define LATE(c) (claims >= c && record == claim[c].from)
proctype storage() {
end:
    do
    :: atomic { LATE(1) -> apply(1) }
    :: atomic { LATE(2) -> apply(2) }
    :: atomic { LATE(3) -> apply(3) }
    :: atomic { LATE(4) -> apply(4) }
#if CLAIMS > 4
    :: atomic { LATE(5) -> apply(5) }
#endif
    od
}

/* 5: a write lands: refused, or after what was written before it. */
inline land(n) {
    if
#ifdef MUTATE_SKIP_FENCE
    :: true ->
#else
    :: M.write_key != holder -> skip
    :: else ->
#endif
        LAW(5, disk_boot <= M.write_boot);
        LAW(5, disk_boot != M.write_boot || disk_entry <= M.write);
        LAW(5, disk_boot != M.write_boot || disk_entry != M.write ||
               disk_author == M.write_author);
        disk_boot = M.write_boot;
        disk_entry = M.write;
        disk_author = M.write_author
    fi;
    M.write = 0;
    M.write_boot = 0;
    M.write_author = 0;
    M.write_key = 0
}

proctype disk() {
end:
    do
    :: atomic { m[0].write != 0 -> land(0) }
    :: atomic { m[1].write != 0 -> land(1) }
#if HOSTS > 2
    :: atomic { m[2].write != 0 -> land(2) }
#endif
    od
}

#define IS_LIVE(n) (m[n].state == LIVE || m[n].state == SYNCING || \
                    m[n].state == PAIRING || m[n].state == PROTECTED)

/* 7: nothing happens any more.  After one fault at most somebody is live. */
proctype end_of_it() {
    timeout ->
    /* With one start a machine that died does not come back. */
    LAW(7, STARTS < 2 || truncated || faults > 1 || IS_LIVE(0) || IS_LIVE(1)
#if HOSTS > 2
           || IS_LIVE(2)
#endif
       )
}

init {
    byte n;

    atomic {
        do
        :: n < HOSTS -> M.state = DOWN; M.peer = n; run machine(n); n++
        :: else -> break
        od;
        n = 0;
        run storage();
        run disk();
        run end_of_it()
    }
}
