/*
 * Digests: registers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/core/cpu.h"
#include "digest-parts.h"

char *ft_digest_cpu_text(void)
{
    char *text = NULL, *hlt;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    cpu_dump_state(first_cpu, f, CPU_DUMP_FPU);
    fclose(f);
    /*
     * A pending interrupt ends a halt when the vCPU's thread notices, which
     * costs no instruction: it is no state of the guest's history.
     */
    hlt = strstr(text, "HLT=");
    if (hlt) {
        hlt[strlen("HLT=")] = '-';
    }
    return text;
}

/* "ES =0018 ...": a line that is one register. */
static bool is_one_register(const char *line)
{
    size_t name = strcspn(line, " =");

    return line[name] == ' ' && line[strspn(line + name, " ") + name] == '=';
}

GPtrArray *ft_digest_cpu_parts(const char *text)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++) {
        g_auto(GStrv) words = g_strsplit(*line, " ", -1);
        GString *part = NULL;

        if (is_one_register(*line)) {
            g_ptr_array_add(parts, g_strdup(*line));
            continue;
        }
        for (char **word = words; *word; word++) {
            if (!part || strchr(*word, '=')) {
                if (part) {
                    g_ptr_array_add(parts, g_string_free(part, FALSE));
                }
                part = g_string_new(*word);
            } else if (**word) {
                g_string_append_printf(part, " %s", *word);
            }
        }
        if (part) {
            g_ptr_array_add(parts, g_string_free(part, FALSE));
        }
    }
    return parts;
}
