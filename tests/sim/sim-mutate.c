/*
 * Ways to break the protocol.  The core stays what it is: the simulated
 * driver, machine or storage does something that the argument of safety
 * forbids.  If the simulator finds none of it, the simulator is broken.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "sim.h"

#define I(n) (1u << (n))

const SimMutationInfo sim_mutations[SIM_MUTATION__MAX] = {
    [SIM_MUTATION_NONE] = { "none", 0, "the protocol as it is" },
    [SIM_MUTATION_GUESS_WON] = { "guess-won", I(1),
        "storage did not answer: taken for won" },
    [SIM_MUTATION_NO_LEASE] = { "no-lease", I(1),
        "who suspects goes on, nobody is asked" },
    [SIM_MUTATION_RELEASE_ON_SEND] = { "release-on-send", I(2),
        "outputs leave when the log was sent, not when it arrived" },
    [SIM_MUTATION_ACK_ON_HEADER] = { "ack-on-header", I(2) | I(3),
        "the backup acknowledges log it dropped" },
    [SIM_MUTATION_SKIP_DRAIN] = { "skip-drain", I(3) | I(4),
        "the backup goes live before it executed what it has" },
    [SIM_MUTATION_HALF_TRANSACTION] = { "half-transaction", I(3) | I(4),
        "the backup executes half a transaction" },
    [SIM_MUTATION_UNLOGGED_INPUT] = { "unlogged-input", I(4) | I(5),
        "now and then the backup gets an input that was not logged" },
    [SIM_MUTATION_DROP_HELD] = { "drop-held", I(4),
        "the backup forgets outputs that the primary had not let out" },
    [SIM_MUTATION_UNGATE_EARLY] = { "ungate-early", I(1) | I(2) | I(4),
        "a primary that suspects its backup stops holding outputs" },
    [SIM_MUTATION_IGNORE_HALT] = { "ignore-halt", I(1) | I(2) | I(4),
        "the loser runs on" },
    [SIM_MUTATION_PAIR_BY_MESSAGE] = { "pair-by-message", I(6),
        "a backup believes a message that it is named; the record is not "
        "compared" },
    [SIM_MUTATION_START_ANYWHERE] = { "start-anywhere", I(6),
        "a cold start by a machine that is not in the record" },
    [SIM_MUTATION_GIVE_UP] = { "give-up", I(7),
        "an unknown answer is not asked again" },
    [SIM_MUTATION_TRUST_CLOSE] = { "trust-close", I(7),
        "only a closed channel is suspicious, silence is not" },
    [SIM_MUTATION_TRUST_FAILED] = { "trust-failed", I(1),
        "who hears that its backup stopped goes on, nobody is asked" },
    [SIM_MUTATION_HOLD_LATE] = { "hold-late", I(2) | I(4),
        "outputs of a running VM are held after the lease names the backup, "
        "not before" },
    [SIM_MUTATION_PAIR_BEHIND] = { "pair-behind", I(2) | I(4),
        "the lease names a backup that lacks log of outputs that have left" },
    [SIM_MUTATION_PAIR_BEFORE_STATE] = { "pair-before-state",
        I(2) | I(3) | I(4),
        "a backup answers before it has loaded its state" },
    [SIM_MUTATION_RELEASE_UNKNOWN] = { "release-unknown", I(2) | I(4),
        "outputs leave at once while the step of pairing is unknown" },
    [SIM_MUTATION_UNKNOWN_LOST] = { "unknown-lost", I(7),
        "storage did not answer: taken for lost" },
    [SIM_MUTATION_ACK_BEFORE_APPEND] = { "ack-before-append", I(2) | I(3),
        "the backup acknowledges log it was told of and has not got" },
    [SIM_MUTATION_RELEASE_AT_APPEND] = { "release-at-append", I(2),
        "outputs leave when they are in the primary's log" },
    [SIM_MUTATION_WRITE_AT_APPEND] = { "write-at-append", I(2),
        "only writes of the disk do" },
    [SIM_MUTATION_SKIP_FENCE] = { "skip-fence", I(5),
        "the winner does not shut the other out of the shared disk" },
    [SIM_MUTATION_SKIP_BARRIER] = { "skip-barrier", I(5),
        "it does, and does not wait for what the disk has taken before" },
    [SIM_MUTATION_OVERLAP] = { "overlap", I(5),
        "writes of one block are in the disk together" },
    [SIM_MUTATION_SKIP_REISSUE] = { "skip-reissue", I(5) | I(7),
        "who goes live forgets writes with a start and no completion" },
    [SIM_MUTATION_COMPLETE_EARLY] = { "complete-early", I(5),
        "a write is complete for the guest before it has landed" },
    [SIM_MUTATION_FORGET_PENDING] = { "forget-pending", I(4) | I(5) | I(7),
        "a running VM's state lacks its writes in flight" },
    [SIM_MUTATION_WRONG_STATE] = { "wrong-state", I(4) | I(5),
        "the state is not the one that the log begins with" },
};
