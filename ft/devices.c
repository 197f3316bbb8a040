/*
 * The devices of the machine.
 *
 * What can be protected is a list of what was shown to replay exactly; a
 * device that is not on it is refused by name, never tried.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/config-file.h"
#include "qemu/option.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/qdev-properties.h"
#include "net/net.h"
#include "net/vhost_net.h"
#include "qom/object.h"
#include "system/kvm.h"
#include "system/tcg.h"
#include "device-list.h"
#include "devices.h"

typedef struct Walk {
    FtPropertyFn *fn;
    void *opaque;
    Error **errp;
} Walk;

static int walk_child(Object *obj, void *opaque)
{
    Walk *walk = opaque;
    ObjectClass *oc = object_get_class(obj);

    for (; oc && object_class_dynamic_cast(oc, TYPE_DEVICE);
         oc = object_class_get_parent(oc)) {
        DeviceClass *dc = DEVICE_CLASS(oc);

        for (int i = 0; i < dc->props_count_; i++) {
            if (!walk->fn(DEVICE(obj), &dc->props_[i], walk->opaque,
                          walk->errp)) {
                return 1;
            }
        }
    }
    return 0;
}

bool ft_devices_foreach_property(FtPropertyFn *fn, void *opaque, Error **errp)
{
    Walk walk = { fn, opaque, errp };

    return !object_child_foreach_recursive(qdev_get_machine(), walk_child,
                                           &walk);
}

static bool row_has(const FtDeviceRow *row, const char *type)
{
    for (int i = 0; i < ARRAY_SIZE(row->types) && row->types[i]; i++) {
        if (g_pattern_match_simple(row->types[i], type)) {
            return true;
        }
    }
    return false;
}

static bool is_protectable(const char *type)
{
    for (int i = 0; i < ARRAY_SIZE(ft_device_list); i++) {
        if (row_has(&ft_device_list[i], type)) {
            return true;
        }
    }
    return false;
}

void ft_devices_print(void)
{
    for (int i = 0; i < ARRAY_SIZE(ft_device_list); i++) {
        printf("  %-14s %s\n", ft_device_list[i].name,
               ft_device_list[i].what);
    }
}

static const char *advice(const char *type)
{
    if (strstr(type, "net") || strstr(type, "e1000") ||
        strstr(type, "rtl8139") || strstr(type, "ne2k") ||
        strstr(type, "vhost")) {
        return "use virtio-net-pci or e1000 with a tap, stream or user netdev";
    } else if (strstr(type, "scsi") || strstr(type, "ide") ||
               strstr(type, "nvme") || strstr(type, "ahci") ||
               strstr(type, "usb-storage")) {
        return "use virtio-blk-pci (-drive if=virtio,...), "
            "virtio-scsi-pci or IDE";
    } else if (strstr(type, "vga") || strstr(type, "gpu") ||
               strstr(type, "qxl")) {
        return "use -vga std or -vga none";
    } else if (strstr(type, "vfio")) {
        return "a passed-through device can't be replayed; use an emulated "
               "one";
    }
    return "leave it out";
}

/* Where random numbers come from: the log knows one source. */
static bool check_rng(Object *obj, Error **errp)
{
    Object *rng = object_property_get_link(obj, "rng", NULL);

    if (rng && strcmp(object_get_typename(rng), "rng-builtin")) {
        error_setg(errp, "the random numbers of '%s' are in no log; leave "
                   "rng= out of virtio-rng, or use rng-builtin",
                   object_get_typename(rng));
        return false;
    }
    return true;
}

static int check_child(Object *obj, void *opaque)
{
    const char *type = object_get_typename(obj);
    Error **errp = opaque;

    if (!object_dynamic_cast(obj, TYPE_DEVICE)) {
        return 0;
    }
    if (is_protectable(type)) {
        return !strcmp(type, "virtio-rng-device") && !check_rng(obj, errp);
    }
    error_setg(errp, "device '%s' (%s) can't be protected; %s", type,
               object_get_canonical_path_component(obj) ?: "?", advice(type));
    return 1;
}

/*
 * The host's clock goes through the log, but not what QEMU works out from
 * the host's time or time zone while it starts.
 */
static bool check_rtc(Error **errp)
{
    QemuOpts *rtc = qemu_find_opts_singleton("rtc");
    const char *base = qemu_opt_get(rtc, "base") ?: "utc";
    const char *clock = qemu_opt_get(rtc, "clock") ?: "host";
    bool is_date = g_ascii_isdigit(*base);

    if (qemu_opt_get(rtc, "driftfix")) {
        error_setg(errp, "-rtc driftfix= can't be protected; leave it out");
    } else if (!strcmp(clock, "rt")) {
        error_setg(errp, "-rtc clock=rt is in no log; use clock=host");
    } else if (!strcmp(base, "localtime")) {
        error_setg(errp, "-rtc base=localtime depends on each host's time "
                   "zone; use base=utc");
    } else if (is_date && strcmp(clock, "vm")) {
        error_setg(errp, "-rtc base=%s would count from when each side was "
                   "started; add clock=vm, or use base=utc", base);
    } else if (!is_date && !strcmp(clock, "vm")) {
        error_setg(errp, "-rtc clock=vm would begin at each host's time; add "
                   "base=YYYY-MM-DDTHH:MM:SS, or use clock=host");
    } else {
        return true;
    }
    return false;
}

static bool check_netdev(NetClientState *nc, Error **errp)
{
    switch (nc->info->type) {
    case NET_CLIENT_DRIVER_NIC:
    case NET_CLIENT_DRIVER_TAP:
    case NET_CLIENT_DRIVER_USER:
    case NET_CLIENT_DRIVER_STREAM:
    case NET_CLIENT_DRIVER_DGRAM:
    case NET_CLIENT_DRIVER_SOCKET:
        break;
    case NET_CLIENT_DRIVER_HUBPORT:
        error_setg(errp, "the network is a hub (QEMU's default, or -net); "
                   "write -nic none, or -netdev with -device "
                   "virtio-net-pci");
        return false;
    default:
        error_setg(errp, "netdev '%s' is of type %s; use tap, stream, dgram, "
                   "socket or user", nc->name,
                   NetClientDriver_str(nc->info->type));
        return false;
    }
    if (get_vhost_net(nc)) {
        error_setg(errp, "netdev '%s' uses vhost, which runs beside QEMU and "
                   "can't be recorded; use vhost=off", nc->name);
        return false;
    }
    return true;
}

static bool check_netdevs(Error **errp)
{
    NetClientState *ncs[64];
    int n = qemu_find_net_clients_except(NULL, ncs, NET_CLIENT_DRIVER__MAX,
                                         ARRAY_SIZE(ncs));

    for (int i = 0; i < MIN(n, (int)ARRAY_SIZE(ncs)); i++) {
        if (!check_netdev(ncs[i], errp)) {
            return false;
        }
    }
    return true;
}

static bool check_machine(Error **errp)
{
    MachineState *machine = MACHINE(qdev_get_machine());
    MachineClass *mc = MACHINE_GET_CLASS(machine);

    if (!tcg_enabled()) {
        error_setg(errp, "only TCG can be protected: hardware acceleration "
                   "has no exact instruction count; use -accel tcg");
        return false;
    }
    if (!g_str_has_prefix(mc->name, "pc-i440fx")) {
        error_setg(errp, "machine '%s' can't be protected yet; use -M pc",
                   mc->name);
        return false;
    }
    if (machine->smp.max_cpus > 1) {
        error_setg(errp, "%u vCPUs can't be protected yet; use -smp 1",
                   machine->smp.max_cpus);
        return false;
    }
    return true;
}

bool ft_devices_check(Error **errp)
{
    return check_machine(errp) && check_rtc(errp) && check_netdevs(errp) &&
        !object_child_foreach_recursive(qdev_get_machine(), check_child, errp);
}
