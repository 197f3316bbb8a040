/*
 * What an administrator does to the guest's devices.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-net.h"
#include "hw/nmi.h"
#include "driver.h"
#include "ft.h"
#include "host.h"
#include "trace.h"

/* FT_CONTROL_LINK: up (1 byte), then the name. */
#define LINK_NAME 1

void ft_host_nmi(void)
{
    ft_stream_put_control(FT_CONTROL_NMI, NULL, 0);
}

void ft_host_link(const char *name, bool up)
{
    g_autofree char *entry = g_strdup_printf("%c%s", up ? 1 : 2, name);

    entry[0] = up;
    ft_stream_put_control(FT_CONTROL_LINK, entry, LINK_NAME + strlen(name));
}

void ft_host_run(FtControl code, const uint8_t *data, size_t size)
{
    g_autofree char *name = NULL;
    Error *err = NULL;

    if (code == FT_CONTROL_NMI) {
        trace_ft_control_run("nmi", ft_stream_icount());
        nmi_monitor_handle(0, &err);
    } else if (size > LINK_NAME) {
        trace_ft_control_run("link", ft_stream_icount());
        name = g_strndup((const char *)data + LINK_NAME, size - LINK_NAME);
        qmp_set_link(name, data[0], &err);
    }
    if (err) {
        g_autofree char *why = g_strdup_printf(
            "the primary could do what this side can't: %s; give both sides' "
            "netdevs the same names", error_get_pretty(err));

        error_free(err);
        ft_driver_fail(why);
    }
}
