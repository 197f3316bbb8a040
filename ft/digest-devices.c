/*
 * Digests: devices, by what migration would send of each.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "io/channel-buffer.h"
#include "migration/qemu-file-types.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "digest-parts.h"
#include "ft.h"
#include "hash.h"
#include "system/replay.h"

#define BUFFER_SIZE (256 * 1024)
/* Bytes of a section's number: after its first byte, and its last ones. */
#define SECTION_NUMBER 4

/*
 * Sections that two equal machines have differently, and why.  Found by
 * comparing pairs that run Linux.
 */
static const char *const left_out[] = {
    /* offsets of this host's clocks, and when its vCPU fell asleep */
    "timer",
    /* the engine's own cursor: one writes, the other reads ahead */
    "replay",
    /* halted and interrupt_request: a pending interrupt ends a halt when the
       vCPU's thread notices, which costs no instruction */
    "cpu_common",
    /* not the guest's: settings of migration itself */
    "globalstate", "configuration",
    /* of a migration: a random number, which would be logged */
    "ft",
    /* the host's end of -netdev user, which only the primary's guest talks
       to */
    "slirp",
};

static struct {
    QEMUFile *file;             /* NULL: no digest is being made */
    QIOChannelBuffer *buffer;
    GArray *sections;
    const char *directory;      /* write each section's bytes there */
} now;

static void section_clear(gpointer section)
{
    g_free(((FtDigestSection *)section)->name);
}

static void write_section(const FtDigestSection *section)
{
    g_autofree char *name = g_strdelimit(g_strdup(section->name), "/", '_');
    g_autofree char *path = g_build_filename(now.directory, name, NULL);

    g_file_set_contents(path, (char *)now.buffer->data, now.buffer->usage,
                        NULL);
}

/*
 * Sections are numbered as they are registered, by what serves the guest on
 * this host too: the number, at both ends, says nothing about the device.
 */
static void forget_number(uint8_t *data, size_t size)
{
    if (size > 2 * SECTION_NUMBER) {
        memset(data + 1, 0, SECTION_NUMBER);
        memset(data + size - SECTION_NUMBER, 0, SECTION_NUMBER);
    }
}

static void section_end(void)
{
    FtDigestSection *section;

    qemu_fflush(now.file);
    if (now.sections->len) {
        section = &g_array_index(now.sections, FtDigestSection,
                                 now.sections->len - 1);
        forget_number(now.buffer->data, now.buffer->usage);
        section->hash = ft_hash64(now.buffer->data, now.buffer->usage);
        if (now.directory) {
            write_section(section);
        }
    }
    now.buffer->usage = now.buffer->offset = 0;
}

bool ft_digest_section(QEMUFile *f, const char *name, uint32_t instance)
{
    FtDigestSection section = { };

    if (f != now.file || !now.file) {
        return false;
    }
    for (int i = 0; i < ARRAY_SIZE(left_out); i++) {
        if (!strcmp(name, left_out[i])) {
            return true;
        }
    }
    section_end();
    section.name = instance ? g_strdup_printf("%s/%u", name, instance)
                            : g_strdup(name);
    section.name_hash = ft_hash64(section.name, strlen(section.name));
    g_array_append_val(now.sections, section);
    return false;
}

bool ft_digest_is_for(QEMUFile *f)
{
    return f && f == now.file;
}

GArray *ft_digest_devices(Error **errp)
{
    GArray *sections = g_array_new(FALSE, TRUE, sizeof(FtDigestSection));
    QEMUFile *file;
    int ret;

    g_array_set_clear_func(sections, section_clear);
    now.buffer = qio_channel_buffer_new(BUFFER_SIZE);
    now.sections = sections;
    now.file = file = qemu_file_new_output(QIO_CHANNEL(now.buffer));
    ret = qemu_save_device_state(file);
    section_end();
    now.file = NULL;
    qemu_fclose(file);
    object_unref(OBJECT(now.buffer));
    if (ret < 0) {
        error_setg(errp, "the devices' state can't be read: %s",
                   strerror(-ret));
        g_array_unref(sections);
        return NULL;
    }
    return sections;
}

void ft_digest_devices_dump(const char *directory)
{
    GArray *sections;

    now.directory = directory;
    sections = ft_digest_devices(NULL);
    now.directory = NULL;
    if (sections) {
        g_array_unref(sections);
    }
}
