/*
 * A running machine's state as the beginning of a session.
 *
 *   migration thread             main thread
 *   RAM, while the guest runs
 *   lock ---------------------.
 *   vCPU stops at X           |  waits for the locks
 *   queued events happen,     |
 *   disks are drained         |
 *   devices are saved         |
 *   the log begins            |
 *   unlock -------------------'
 *                                notifier: saved; what happens from here on
 *                                is in the log
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-migration.h"
#include "qemu/error-report.h"
#include "qemu/guest-random.h"
#include "block/block.h"
#include "exec/cputlb.h"
#include "hw/core/cpu.h"
#include "migration/client-options.h"
#include "migration/misc.h"
#include "migration/vmstate.h"
#include "qom/object.h"
#include "system/replay.h"
#include "system/runstate.h"
#include "ft/disk.h"
#include "ft/disks.h"
#include "ft/driver.h"
#include "ft/mirror.h"
#include "ft/mirror-target.h"
#include "ft/net.h"
#include "replay/ft-stream.h"
#include "replay/replay-internal.h"
#include "migration.h"
#include "options.h"
#include "ft-state.h"

typedef struct Transfer {
    uint64_t id;
    uint64_t disk_request;      /* the next request's number */
    bool came;                  /* it was loaded, not saved */
    bool disks;                 /* they were copied to the backup */
    bool logs;                  /* the log begins where the state is saved */
    FtStateSavedFn *saved;
    FtStateLoadedFn *loaded;
} Transfer;

static Transfer state;

/* --- what the stream carries beside upstream's sections ------------------- */

static int state_pre_save(void *opaque)
{
    qemu_guest_getrandom_nofail(&state.id, sizeof(state.id));
    state.disk_request = ft_disk_next_request();
    state.came = false;
    state.disks = ft_mirror_look(NULL) == FT_MIRROR_EQUAL;
    return 0;
}

static int state_post_load(void *opaque, int version_id)
{
    ft_disk_set_next_request(state.disk_request);
    state.came = true;
    return 0;
}

static const VMStateDescription vmstate_ft = {
    .name = "ft",
    .version_id = 2,
    .minimum_version_id = 2,
    .pre_save = state_pre_save,
    .post_load = state_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(id, Transfer),
        VMSTATE_UINT64(disk_request, Transfer),
        VMSTATE_BOOL(disks, Transfer),
        VMSTATE_END_OF_LIST()
    },
};

uint64_t ft_state_id(void)
{
    return state.id;
}

/* --- upstream's migration ------------------------------------------------- */

/* What a migration would need of a machine that records and can't have. */
static bool check_migration(Error **errp)
{
    if (migrate_postcopy() || migrate_background_snapshot() ||
               migrate_colo() ||
               migrate_get_current()->parameters.mode != MIG_MODE_NORMAL) {
        error_setg(errp, "with -ft a machine's state is sent by precopy; set "
                   "postcopy, background-snapshot, x-colo and cpr off");
    }
    return !*errp;
}

static int migration_event(NotifierWithReturn *notify, MigrationEvent *e,
                           Error **errp)
{
    ERRP_GUARD();
    FtStateSavedFn *saved = state.saved;

    if (e->type == MIG_EVENT_PRECOPY_SETUP) {
        return check_migration(errp) ? 0 : -1;
    }
    state.saved = NULL;
    if (e->type != MIG_EVENT_PRECOPY_DONE) {
        if (state.logs) {
            ft_stream_abandon_state();
        }
        ft_stream_unquiesce();
    }
    state.logs = false;
    if (saved) {
        saved(e->type == MIG_EVENT_PRECOPY_DONE);
    }
    return 0;
}

bool ft_state_came(void)
{
    return state.came;
}

bool ft_state_has_disks(void)
{
    return state.disks;
}

void ft_state_pause(bool pause)
{
    static bool before, asked;
    bool *now = &migrate_get_current()->capabilities[
        MIGRATION_CAPABILITY_PAUSE_BEFORE_SWITCHOVER];

    if (pause == asked) {
        return;
    }
    asked = pause;
    if (pause) {
        before = *now;
    }
    *now = pause || before;
}

bool ft_state_paused(void)
{
    return migrate_get_current()->state == MIGRATION_STATUS_PRE_SWITCHOVER;
}

bool ft_state_ran(void)
{
    return runstate_is_live(migrate_get_current()->vm_old_state);
}

void ft_state_init(FtStateLoadedFn *loaded)
{
    static NotifierWithReturn notifier;

    state.loaded = loaded;
    vmstate_register(NULL, 0, &vmstate_ft, &state);
    migration_add_notifier(&notifier, migration_event);
    /* It would send packets on one side only. */
    object_register_sugar_prop("migration", "announce-rounds", "0", true);
}

bool ft_state_send(const char *uri, FtStateSavedFn *saved, Error **errp)
{
    ERRP_GUARD();

    state.saved = saved;
    qmp_migrate(uri, false, NULL, false, false, false, false, errp);
    if (*errp) {
        state.saved = NULL;
    }
    return !*errp;
}

/* --- hooks ---------------------------------------------------------------- */

static void flush_tlb(CPUState *cpu, run_on_cpu_data data)
{
    tlb_flush(cpu);
}

/*
 * From here on each write to memory has to be noticed again.  A write that
 * the vCPU began before has to land before the migration thread reads that
 * memory; and upstream resets the TLB only where it met a page that was not
 * marked already, so one that waits to be sent would be written unnoticed.
 * Who holds the replay mutex has the vCPU stand still, or is no migration.
 */
void ft_state_hook_synced(void)
{
    if (ft_stream_active() && !replay_mutex_locked()) {
        run_on_cpu(first_cpu, flush_tlb, RUN_ON_CPU_NULL);
    }
}

void ft_state_hook_lock(void)
{
    if (ft_stream_active()) {
        replay_mutex_lock();
    }
}

void ft_state_hook_unlock(void)
{
    if (ft_stream_active()) {
        replay_mutex_unlock();
    }
}

void ft_state_hook_stopped(void)
{
    if (ft_stream_active()) {
        ft_stream_quiesce();
        ft_net_announce_end();
        bdrv_drain_all();
        bdrv_flush_all();
    }
}

void ft_state_hook_saved(bool saved)
{
    if (!ft_stream_active()) {
        return;
    }
    if (saved && state.saved) {
        state.logs = true;
        ft_stream_begin_log_at_state();
        ft_disk_reads_begin_log();
        ft_net_state_saved();
    }
    replay_mutex_unlock();
}

void ft_state_hook_loaded(void)
{
    Error *err = NULL;

    if (!ft_stream_active()) {
        return;
    }
    ft_mirror_target_close();
    if (!ft_disks_activate(&err)) {
        error_reportf_err(err, "-ft: the disks can't be used: ");
        exit(1);
    }
    state.loaded();
}
