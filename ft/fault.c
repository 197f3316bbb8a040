/*
 * Faults on purpose: what tests do to a machine to see that it is found.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-ft.h"
#include "exec/gdbstub.h"
#include "exec/memory.h"
#include "hw/core/cpu.h"
#include "exec/address-spaces.h"
#include "disk-fault.h"
#include "options.h"

/* The lowest bit of the register with this number, as a debugger counts. */
static bool flip_register(int64_t number, Error **errp)
{
    g_autoptr(GByteArray) value = g_byte_array_new();
    CPUClass *cc = CPU_GET_CLASS(first_cpu);

    if (number < 0 || number > INT_MAX ||
        !cc->gdb_read_register(first_cpu, value, number)) {
        error_setg(errp, "there is no register %" PRId64, number);
        return false;
    }
    value->data[0] ^= 1;
    cc->gdb_write_register(first_cpu, value->data, number);
    return true;
}

void qmp_x_ft_fault(bool has_register, int64_t number, bool has_port,
                    uint16_t port, bool has_value, uint8_t value,
                    bool has_hang_ms, uint32_t hang_ms,
                    bool has_disk_point, FtDiskPoint disk_point,
                    bool has_disk_count, uint32_t disk_count,
                    bool has_disk_signal, int64_t disk_signal, Error **errp)
{
    if (!ft_options.faults) {
        error_setg(errp, "faults are made only with -ft ...,x-faults=on");
        return;
    }
    if (has_register && !flip_register(number, errp)) {
        return;
    }
    if (has_port) {
        address_space_stb(&address_space_io, port, value,
                          MEMTXATTRS_UNSPECIFIED, NULL);
    }
    if (has_hang_ms) {
        g_usleep((gulong)hang_ms * 1000);
    }
    if (has_disk_point) {
        ft_disk_fault_set(disk_point, has_disk_count ? disk_count : 1,
                          has_disk_signal ? disk_signal : SIGKILL);
    }
}
