/*
 * The network guard.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/iov.h"
#include "qemu/timer.h"
#include "qom/object_interfaces.h"
#include "hw/boards.h"
#include "migration/misc.h"
#include "migration/vmstate.h"
#include "net/announce.h"
#include "net/eth.h"
#include "net/filter.h"
#include "net/net.h"
#include "system/replay.h"
#include "system/runstate.h"
#include "replay/ft-stream.h"
#include "ft.h"
#include "gate.h"
#include "net.h"
#include "options.h"
#include "tap.h"

enum {
    SIZE_MIN = sizeof(struct eth_header) + sizeof(struct vlan_header),
    ANNOUNCE_ROUNDS = 5,
    E1000_WAIT_MS = 1000,       /* what the card takes after a reset */
};

#define TYPE_FT_NET_GUARD "ft-net-guard"
OBJECT_DECLARE_SIMPLE_TYPE(FtNetGuard, FT_NET_GUARD)

struct FtNetGuard {
    NetFilterState parent;
    ReplayNetState *replay;
    uint8_t number;             /* of replay */
    FtTap *tap;                 /* or NULL */
};

typedef struct FtPacket {
    FtOutput output;
    FtNetGuard *guard;
    unsigned flags;
    uint8_t data[];
} FtPacket;

static void packet_finish(FtOutput *output, bool emit)
{
    FtPacket *packet = container_of(output, FtPacket, output);
    NetFilterState *nf = NETFILTER(packet->guard);
    struct iovec iov = { packet->data, output->size };

    if (emit && !ft_options.replay) {
        qemu_netfilter_pass_to_next(nf->netdev->peer, packet->flags, &iov, 1,
                                    nf);
    }
    g_free(packet);
}

/*
 * Into the tap as its netdev would write it, but from any thread.  What the
 * tap has no room for the netdev has to queue.
 */
static bool packet_try_emit(FtOutput *output)
{
    FtPacket *packet = container_of(output, FtPacket, output);
    NetClientState *netdev = NETFILTER(packet->guard)->netdev;

    if (qatomic_read(&netdev->link_down)) {
        return false;
    }
    return ft_tap_write(packet->guard->tap, packet->data, output->size);
}

/* Does it go to the tap as it is, and to nobody else before? */
static bool goes_to_tap(FtNetGuard *guard, unsigned flags)
{
    NetFilterState *nf = NETFILTER(guard);

    return guard->tap && !flags && !ft_options.replay &&
        !nf->netdev->receive_disabled &&
        QTAILQ_FIRST(&nf->netdev->filters) == nf && !QTAILQ_NEXT(nf, next);
}

static void packet_hold(FtNetGuard *guard, unsigned flags,
                        const struct iovec *iov, int iovcnt)
{
    size_t size = iov_size(iov, iovcnt);
    FtPacket *packet = g_malloc(sizeof(*packet) + size);

    packet->output = (FtOutput) { .finish = packet_finish, .size = size };
    if (goes_to_tap(guard, flags)) {
        packet->output.try_emit = packet_try_emit;
    }
    packet->guard = guard;
    packet->flags = flags;
    iov_to_buf(iov, iovcnt, 0, packet->data, size);
    ft_gate_hold(&packet->output);
}

/* Packets for a guest that is paused are lost, as on a real network. */
static bool takes_packet(size_t size)
{
    return replay_mode == REPLAY_MODE_RECORD && runstate_is_running() &&
        size >= SIZE_MIN;
}

/* It becomes an event, which the vCPU's thread logs and gives to the guest. */
static void packet_arrived(FtNetGuard *guard, unsigned flags,
                           const struct iovec *iov, int iovcnt)
{
    if (takes_packet(iov_size(iov, iovcnt))) {
        replay_net_packet_event(guard->replay, flags, iov, iovcnt);
    }
}

/* In the vCPU's thread, where events are logged: it need not become one. */
static void tap_packet(void *opaque, const void *data, size_t size)
{
    FtNetGuard *guard = FT_NET_GUARD(opaque);
    NetFilterState *nf = NETFILTER(guard);
    struct iovec iov = { (void *)data, size };

    if (!nf->netdev->link_down && takes_packet(size)) {
        ft_stream_put_packet(guard->number, 0, data, size);
        qemu_netfilter_pass_to_next(nf->netdev, 0, &iov, 1, nf);
    }
}

/*
 * Always takes the packet, so no netdev's back-pressure reaches the guest.
 * What is shorter than a header with a VLAN tag, as a socket can deliver it,
 * ends here: some devices would read beyond it.
 */
static ssize_t guard_receive_iov(NetFilterState *nf, NetClientState *sender,
                                 unsigned flags, const struct iovec *iov,
                                 int iovcnt, NetPacketSent *sent_cb)
{
    FtNetGuard *guard = FT_NET_GUARD(nf);

    if (ft_stream_started()) {
        if (sender != nf->netdev) {
            packet_hold(guard, flags, iov, iovcnt);
        } else {
            packet_arrived(guard, flags, iov, iovcnt);
        }
    }
    return iov_size(iov, iovcnt);
}

static void guard_instance_init(Object *obj)
{
    FT_NET_GUARD(obj)->replay = replay_register_net(NETFILTER(obj));
}

static void guard_instance_finalize(Object *obj)
{
    FtNetGuard *guard = FT_NET_GUARD(obj);

    replay_unregister_net(guard->replay);
    if (guard->tap) {
        ft_tap_close(guard->tap);
    }
}

static void guard_class_init(ObjectClass *oc, void *data)
{
    NETFILTER_CLASS(oc)->receive_iov = guard_receive_iov;
}

static const TypeInfo guard_info = {
    .name = TYPE_FT_NET_GUARD,
    .parent = TYPE_NETFILTER,
    .instance_size = sizeof(FtNetGuard),
    .instance_init = guard_instance_init,
    .instance_finalize = guard_instance_finalize,
    .class_init = guard_class_init,
};

static void register_types(void)
{
    type_register_static(&guard_info);
}

type_init(register_types);

static void guard_netdev(NICState *nic, void *opaque)
{
    static uint8_t numbers;
    Error **errp = opaque;
    NetClientState *netdev = nic->ncs[0].peer;
    g_autofree char *id = NULL;
    Object *guard;

    if (*errp || !netdev) {
        return;
    }
    if (nic->conf->peers.queues > 1) {
        error_setg(errp, "netdev '%s' has several queues; use queues=1",
                   netdev->name);
        return;
    }
    id = g_strdup_printf("ft-net-guard-%s", netdev->name);
    if (object_resolve_path_type("", "filter-replay", NULL)) {
        error_setg(errp, "filter-replay can't be used with -ft, which logs "
                   "packets by itself; leave it out");
        return;
    }
    guard = object_new_with_props(TYPE_FT_NET_GUARD,
                                  object_get_objects_root(), id, errp,
                                  "netdev", netdev->name, NULL);
    if (guard) {
        FT_NET_GUARD(guard)->number = numbers++;
        FT_NET_GUARD(guard)->tap = ft_tap_new(netdev, tap_packet, guard);
    }
}

bool ft_net_guard_all(Error **errp)
{
    Error *err = NULL;

    qemu_foreach_nic(guard_netdev, &err);
    if (err) {
        error_propagate(errp, err);
        return false;
    }
    return true;
}

static AnnounceTimer announce_timer;

void ft_net_announce(void)
{
    AnnounceParameters params = *migrate_announce_params();

    /* None at the end of a migration, but here the machine has moved. */
    params.rounds = ANNOUNCE_ROUNDS;
    qemu_announce_self(&announce_timer, &params);
}

/*
 * A guest that announces itself is asked to by an interrupt, which no log has:
 * from a state on there are none.
 */
void ft_net_announce_end(void)
{
    qemu_announce_timer_del(&announce_timer, false);
}

/* --- a state sent while the machine runs ---------------------------------- */

/*
 * An e1000's timers are in no state: where it is loaded they start anew.  The
 * machine that sent it does the same at the same instruction, or the two
 * would raise their interrupts at different ones.
 */
static void load_again(Object *obj, const VMStateDescription *vmsd)
{
    const VMStateDescription *const *sub = vmsd->subsections;

    for (; sub && *sub; sub++) {
        if (!(*sub)->needed || (*sub)->needed(obj)) {
            load_again(obj, *sub);
        }
    }
    if (vmsd->post_load) {
        vmsd->post_load(obj, vmsd->version_id);
    }
}

static int child_saved(Object *obj, void *opaque)
{
    if (object_dynamic_cast(obj, "e1000")) {
        load_again(obj, DEVICE_GET_CLASS(obj)->vmsd);
    }
    return 0;
}

/* What came after the machine stopped is lost; the backup never had it. */
static void nic_saved(NICState *nic, void *opaque)
{
    qemu_flush_or_purge_queued_packets(nic->ncs, true);
    qemu_flush_queued_packets(nic->ncs);    /* it may be asked again */
}

void ft_net_state_saved(void)
{
    object_child_foreach_recursive(qdev_get_machine(), child_saved, NULL);
    qemu_foreach_nic(nic_saved, NULL);
}

void ft_net_hook_e1000_loaded(QEMUTimer *timer)
{
    if (ft_stream_active()) {
        timer_mod(timer, qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) +
                  E1000_WAIT_MS);
    }
}
