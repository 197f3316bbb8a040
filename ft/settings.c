/*
 * What -ft sets so that a machine can be replayed exactly.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-builtin-types.h"
#include "hw/qdev-properties.h"
#include "qom/object.h"
#include "devices.h"
#include "ft.h"
#include "options.h"
#include "settings.h"

typedef struct FtSetting {
    const char *driver;
    const char *property;
    const char *value;
    const char *why;
} FtSetting;

static const FtSetting device_settings[] = {
    { "virtio-pci", "ioeventfd", "off",
      "a notification that another thread handles is in no log" },
    { "apic-common", "vapic", "off",
      "its reset waits for the CPU, which waits for the log" },
    { "PIIX4_PM", "disable_s3", "1",
      "when a sleeping guest wakes up is in no log" },
};

static const FtSetting machine_settings[] = {
    { "pc", "hpet", "off",
      "a part of its state is not in QEMU's migration stream" },
};

/*
 * What a user may set otherwise.  Upstream's buffer of translated code is up
 * to 1 GiB, most of it for code that does not run any more.
 */
static const FtSetting usual_settings[] = {
    { "tcg-accel", "tb-size", "32",
      "MiB for translated code; -accel tcg,tb-size=N changes it" },
};

void ft_settings_for_devices(void)
{
    for (int i = 0; i < ARRAY_SIZE(usual_settings); i++) {
        const FtSetting *s = &usual_settings[i];

        object_register_sugar_prop(s->driver, s->property, s->value, true);
    }
    for (int i = 0; i < ARRAY_SIZE(device_settings); i++) {
        const FtSetting *s = &device_settings[i];

        object_register_sugar_prop(s->driver, s->property, s->value, true);
    }
}

void ft_settings_for_machine(Object *machine)
{
    if (!ft_options.given) {
        return;
    }
    for (int i = 0; i < ARRAY_SIZE(machine_settings); i++) {
        const FtSetting *s = &machine_settings[i];

        if (object_property_find(machine, s->property)) {
            object_property_parse(machine, s->property, s->value,
                                  &error_abort);
        }
    }
}

/* As a user writes it. */
static const char *plain(const char *value)
{
    return !g_strcmp0(value, "false") ? "off"
        : !g_strcmp0(value, "true") ? "on" : value ?: "";
}

/* A -global or -device option of the user's comes after ours. */
static bool check_property(DeviceState *dev, const Property *prop,
                           void *opaque, Error **errp)
{
    for (int i = 0; i < ARRAY_SIZE(device_settings); i++) {
        const FtSetting *s = &device_settings[i];
        g_autofree char *value = NULL;

        if (strcmp(prop->name, s->property) ||
            !object_dynamic_cast(OBJECT(dev), s->driver)) {
            continue;
        }
        value = object_property_print(OBJECT(dev), prop->name, false, NULL);
        if (strcmp(plain(value), s->value)) {
            error_setg(errp, "%s.%s=%s can't be protected: %s; leave it out",
                       object_get_typename(OBJECT(dev)), s->property,
                       plain(value), s->why);
            return false;
        }
    }
    return true;
}

bool ft_settings_check(Error **errp)
{
    return ft_devices_foreach_property(check_property, NULL, errp);
}

static strList **add(strList **tail, const FtSetting *settings, int n)
{
    for (int i = 0; i < n; i++) {
        const FtSetting *s = &settings[i];

        QAPI_LIST_APPEND(tail, g_strdup_printf("%s.%s=%s: %s", s->driver,
                                               s->property, s->value,
                                               s->why));
    }
    return tail;
}

strList *ft_settings_list(void)
{
    strList *list = NULL, **tail = &list;

    tail = add(tail, machine_settings, ARRAY_SIZE(machine_settings));
    tail = add(tail, device_settings, ARRAY_SIZE(device_settings));
    add(tail, usual_settings, ARRAY_SIZE(usual_settings));
    return list;
}
