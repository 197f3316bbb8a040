/*
 * What both machines of a pair must have the same of.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/config-file.h"
#include "qemu/option.h"
#include "qemu/seqlock.h"
#include "qemu/units.h"
#include "block/block_int.h"
#include "qemu-version.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "hw/nvram/fw_cfg.h"
#include "hw/i386/fw_cfg.h"
#include "exec/ioport.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "net/net.h"
#include "system/block-backend.h"
#include "system/cpu-timers-internal.h"
#include "system/runstate-action.h"
#include "devices.h"
#include "migration/ft-state.h"
#include "digest-parts.h"
#include "disks.h"
#include "hash.h"
#include "identity.h"
#include "limits.h"
#include "mirror-target.h"
#include "options.h"
#include "wire.h"

/* The clock's bytes come first in CMOS memory; what was set up follows. */
#define CMOS_SETUP 0x10
#define CMOS_SIZE 0x80
#define RTC_PORT(n) (0x70 + (n))
/* Items that are no files have no size to read; this covers the short ones. */
#define SMALL_ITEM 64

static void G_GNUC_PRINTF(2, 3) add(GPtrArray *lines, const char *fmt, ...)
{
    va_list ap;
    char *line;

    va_start(ap, fmt);
    line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_strdelimit(line, "\n\r", ' ');
    g_ptr_array_add(lines, line);
}

/* Properties that say where something is on this host, not what it is. */
static bool is_local(const Property *prop)
{
    return prop->info == &qdev_prop_chr || prop->info == &qdev_prop_drive ||
        prop->info == &qdev_prop_drive_iothread ||
        prop->info == &qdev_prop_netdev;
}

static bool is_peripheral(const char *path)
{
    return g_str_has_prefix(path, "/machine/peripheral");
}

/* A user's device: each property has a line. */
static bool add_property(DeviceState *dev, const Property *prop, void *opaque,
                         Error **errp)
{
    GPtrArray *lines = opaque;
    g_autofree char *path = object_get_canonical_path(OBJECT(dev));
    g_autofree char *value = NULL;

    if (is_local(prop) || !prop->info->get || !is_peripheral(path)) {
        return true;
    }
    value = object_property_print(OBJECT(dev), prop->name, false, NULL);
    if (value) {
        add(lines, "part.%s.%s=%s", path + strlen("/machine/"),
            prop->name, value);
    }
    return true;
}

static void append_properties(GString *text, Object *obj)
{
    ObjectClass *oc = object_get_class(obj);

    for (; oc && object_class_dynamic_cast(oc, TYPE_DEVICE);
         oc = object_class_get_parent(oc)) {
        DeviceClass *dc = DEVICE_CLASS(oc);

        for (int i = 0; i < dc->props_count_; i++) {
            const Property *prop = &dc->props_[i];
            g_autofree char *value = NULL;

            if (!is_local(prop) && prop->info->get) {
                value = object_property_print(obj, prop->name, false, NULL);
            }
            g_string_append_printf(text, "%s=%s\n", prop->name, value ?: "");
        }
    }
}

/* A device of the board: its type, and one digest of its properties. */
static int add_device(Object *obj, void *opaque)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autofree char *path = object_get_canonical_path(obj);
    g_autofree char *digest = NULL;

    if (!object_dynamic_cast(obj, TYPE_DEVICE)) {
        return 0;
    }
    if (!is_peripheral(path)) {
        append_properties(text, obj);
    }
    digest = ft_hash_bytes(text->str, text->len);
    add(opaque, "part.%s=%s, properties %.16s", path + strlen("/machine/"),
        object_get_typename(obj), digest);
    return 0;
}

/* What the guest can see of the CPU: each feature that is on has a line. */
static void add_cpu(GPtrArray *lines)
{
    static const char *const values[] = {
        "family", "model", "stepping", "vendor", "model-id", "min-level",
        "min-xlevel", "phys-bits", "level", "xlevel",
    };
    Object *cpu = OBJECT(first_cpu);
    ObjectPropertyIterator iter;
    ObjectProperty *prop;

    add(lines, "cpu=%s", object_get_typename(cpu));
    for (int i = 0; i < ARRAY_SIZE(values); i++) {
        g_autofree char *value = object_property_print(cpu, values[i], false,
                                                       NULL);

        add(lines, "cpu.%s=%s", values[i], value ?: "");
    }
    object_property_iter_init(&iter, cpu);
    while ((prop = object_property_iter_next(&iter))) {
        if (!strcmp(prop->type, "bool") && prop->get &&
            object_property_get_bool(cpu, prop->name, NULL)) {
            add(lines, "cpu.%s=on", prop->name);
        }
    }
}

/*
 * An item for the firmware, read as the firmware does; the reset with which
 * the guest begins forgets the position.
 */
static void add_item(GPtrArray *lines, const char *name, uint16_t select,
                     uint32_t size)
{
    g_autofree uint8_t *data = g_malloc(size + 1);
    g_autofree char *digest = NULL;

    cpu_outw(FW_CFG_IO_BASE, select);
    for (uint32_t at = 0; at < size; at++) {
        data[at] = cpu_inb(FW_CFG_IO_BASE + 1);
    }
    digest = ft_hash_bytes(data, size);
    add(lines, "setup.%s=%u bytes, digest %.16s", name, size, digest);
}

/* What the firmware is told: tables, SMBIOS, -fw_cfg items, boot order. */
static void add_setup(GPtrArray *lines)
{
    FWCfgState *fw_cfg = fw_cfg_find();
    FWCfgFiles *files = fw_cfg ? fw_cfg->files : NULL;
    uint8_t cmos[CMOS_SIZE - CMOS_SETUP];
    g_autofree char *digest = NULL;

    for (uint32_t i = 0; files && i < be32_to_cpu(files->count); i++) {
        add_item(lines, files->f[i].name, be16_to_cpu(files->f[i].select),
                 be32_to_cpu(files->f[i].size));
    }
    for (uint16_t key = 0; fw_cfg && key < FW_CFG_FILE_FIRST; key++) {
        g_autofree char *name = g_strdup_printf("item-0x%02x", key);

        add_item(lines, name, key, SMALL_ITEM);
    }
    for (int i = 0; i < sizeof(cmos); i++) {
        cpu_outb(RTC_PORT(0), CMOS_SETUP + i);
        cmos[i] = cpu_inb(RTC_PORT(1));
    }
    digest = ft_hash_bytes(cmos, sizeof(cmos));
    add(lines, "setup.cmos=%.16s", digest);
}

/*
 * Both sides know it: the primary ended the copy before it sent the last of
 * the state that says so, and a backup says it of a disk that was written.
 * So a machine need not stand while disks are read.
 */
static bool copied_to_backup(BlockBackend *blk)
{
    return ft_state_has_disks() &&
        (!ft_state_came() || ft_options.replay ||
         ft_mirror_target_written(blk));
}

static bool add_disk(DeviceState *dev, BlockBackend *blk, void *opaque,
                     Error **errp)
{
    const char *path = dev->canonical_path;
    GPtrArray *lines = opaque;
    g_autofree char *digest = NULL, *place = NULL;

    add(lines, "disk.%s.size=%" PRId64, path, blk_getlength(blk));
    add(lines, "disk.%s.writable=%d", path, blk_is_writable(blk));
    add(lines, "disk.%s.discard=%s", path,
        bdrv_get_flags(blk_bs(blk)) & BDRV_O_UNMAP ? "unmap" : "ignore");
    if (ft_disks_is_shared(blk)) {
        place = ft_disks_place(blk);
        add(lines, "disk.%s.place=%s", path, place);
        add(lines, "disk.%s.format=%s", path, ft_disks_format(blk));
        add(lines, "disk.%s.reads=%s", path,
            ft_options.own_reads ? "own" : "log");
        return true;
    }
    if (blk_is_writable(blk) && copied_to_backup(blk)) {
        add(lines, "disk.%s.contents=copied with state %016" PRIx64, path,
            ft_state_id());
        return true;
    }
    digest = ft_hash_disk(blk, errp);
    if (!digest) {
        return false;
    }
    add(lines, "disk.%s.contents=%s", path, digest);
    if (blk_is_writable(blk)) {
        place = ft_disks_place(blk);
        add(lines, FT_CORE_APART "disk.%s=%s%s%s", path,
            *place == '/' ? g_get_host_name() : "", *place == '/' ? ":" : "",
            place);
    }
    return true;
}

static void add_nic(NICState *nic, void *opaque)
{
    NetClientState *nc = nic->ncs, *peer = nc->peer;
    g_autofree char *mac = g_strdup_printf(
        "%02x:%02x:%02x:%02x:%02x:%02x", nic->conf->macaddr.a[0],
        nic->conf->macaddr.a[1], nic->conf->macaddr.a[2],
        nic->conf->macaddr.a[3], nic->conf->macaddr.a[4],
        nic->conf->macaddr.a[5]);

    add(opaque, "nic.%s.mac=%s", nc->name, mac);
    if (peer) {
        add(opaque, "nic.%s.netdev=%s", nc->name,
            NetClientDriver_str(peer->info->type));
        add(opaque, "nic.%s.offloads=%d%d%d%d", nc->name,
            qemu_has_vnet_hdr(peer), qemu_has_ufo(peer), qemu_has_uso(peer),
            qemu_has_vnet_hdr_len(peer, 12));
    }
}

static bool add_boot_file(GPtrArray *lines, const char *what,
                          const char *path, Error **errp)
{
    g_autofree char *digest = NULL;

    if (!path) {
        return true;
    }
    digest = ft_hash_file(path, errp);
    if (!digest) {
        return false;
    }
    add(lines, "boot.%s=%s", what, digest);
    return true;
}

static void add_machine(GPtrArray *lines)
{
    static const char *const names[] = {
        "acpi", "hpet", "i8042", "pcspk-audiodev", "pic", "pit", "sata",
        "smbus", "usb", "vmport", "x-oem-id", "x-oem-table-id", "graphics",
        "max-fw-size", "max-ram-below-4g", "default-bus-bypass-iommu",
    };
    MachineState *machine = MACHINE(qdev_get_machine());
    QemuOpts *rtc = qemu_find_opts_singleton("rtc");

    add(lines, "machine.type=%s", MACHINE_GET_CLASS(machine)->name);
    add(lines, "machine.ram=%" PRIu64 "M", machine->ram_size / MiB);
    add(lines, "machine.ram.maximum=%" PRIu64 "M", machine->maxram_size / MiB);
    add(lines, "machine.vcpus=%u", machine->smp.cpus);
    add(lines, "machine.icount-shift=%d", timers_state.icount_time_shift);
    add(lines, "machine.action.reboot=%s", RebootAction_str(reboot_action));
    add(lines, "machine.action.shutdown=%s",
        ShutdownAction_str(shutdown_action));
    add(lines, "machine.action.panic=%s", PanicAction_str(panic_action));
    add(lines, "machine.rtc.base=%s", qemu_opt_get(rtc, "base") ?: "utc");
    add(lines, "machine.rtc.clock=%s", qemu_opt_get(rtc, "clock") ?: "host");
    for (int i = 0; i < ARRAY_SIZE(names); i++) {
        g_autofree char *value = NULL;

        if (object_property_find(OBJECT(machine), names[i])) {
            value = object_property_print(OBJECT(machine), names[i], false,
                                          NULL);
        }
        add(lines, "machine.%s=%s", names[i], value ?: "");
    }
}

static gint compare_lines(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *ft_identity_make(Error **errp)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    MachineState *machine = MACHINE(qdev_get_machine());
    g_autofree char *cpu_text = ft_digest_cpu_text();
    g_autofree char *cpu = ft_hash_bytes(cpu_text, strlen(cpu_text));
    GString *text;

    add(lines, "build.qemu=%s", QEMU_FULL_VERSION);
    add(lines, "build.wire=%d", FT_WIRE_VERSION);
    add_machine(lines);
    add_cpu(lines);
    add_setup(lines);
    object_child_foreach_recursive(qdev_get_machine(), add_device, lines);
    ft_devices_foreach_property(add_property, lines, NULL);
    qemu_foreach_nic(add_nic, lines);
    add(lines, "state.cpu=%s", cpu);
    add(lines, "state.memory=%016" PRIx64, ft_digest_ram_full());
    add(lines, "boot.append=%s", machine->kernel_cmdline ?: "");
    if (!add_boot_file(lines, "kernel", machine->kernel_filename, errp) ||
        !add_boot_file(lines, "initrd", machine->initrd_filename, errp) ||
        !ft_disks_foreach(add_disk, lines, errp)) {
        return NULL;
    }
    g_ptr_array_sort(lines, compare_lines);
    text = g_string_new(NULL);
    for (guint i = 0; i < lines->len; i++) {
        g_string_append_printf(text, "%s\n", (char *)lines->pdata[i]);
    }
    if (text->len >= FT_HELLO_MAX - 2 * FT_NODE_MAX) {
        error_setg(errp, "the machine has too many devices to describe to "
                   "the peer; leave some out");
        g_string_free(text, TRUE);
        return NULL;
    }
    return g_string_free(text, FALSE);
}

static bool find_disk(DeviceState *dev, BlockBackend *blk, void *opaque,
                      Error **errp)
{
    char **where = opaque;

    if (!*where && ft_disks_is_shared(blk)) {
        *where = ft_disks_place(blk);
    } else if (!*where && blk_is_writable(blk)) {
        GRAPH_RDLOCK_GUARD_MAINLOOP();
        *where = g_canonicalize_filename(
            bdrv_skip_filters(blk_bs(blk))->filename, NULL);
    }
    return true;
}

char *ft_identity_node(void)
{
    g_autofree char *disk = NULL;
    char *node;

    if (ft_options.node) {
        return g_strdup(ft_options.node);
    }
    ft_disks_foreach(find_disk, &disk, NULL);
    node = g_strdup_printf("%s:%s", g_get_host_name(), disk ?:
                           (ft_options.role == FT_ROLE_PRIMARY ? "primary"
                                                               : "backup"));
    for (char *p = node; *p; p++) {
        if (g_ascii_iscntrl(*p) || *p == '"') {
            *p = '_';
        }
    }
    if (strlen(node) >= FT_NODE_MAX) {
        g_autofree char *digest = ft_hash_bytes(node, strlen(node));

        node[FT_NODE_MAX - 1 - 17] = '#';
        memcpy(node + FT_NODE_MAX - 17, digest, 16);
        node[FT_NODE_MAX - 1] = 0;
    }
    return node;
}
