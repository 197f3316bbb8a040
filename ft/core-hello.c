/*
 * HELLO: who is there, and is it the same VM?
 *
 * The payload is text, a line "key=value" each: "node", what the core itself
 * needs the same ("vm.uuid", "vm.disks", "state"), then the driver's identity
 * lines.  All but "node" have to be equal, and the nodes have to differ.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <string.h>

#include "core-internal.h"

static char *state_name(guint64 state_id)
{
    return state_id ? g_strdup_printf("%016" G_GINT64_MODIFIER "x", state_id)
                    : g_strdup("power-on");
}

char *ft_core_hello_new(const FtCoreConfig *config, guint64 state_id)
{
    char *state = state_name(state_id);
    GString *s = g_string_new(NULL);

    g_string_printf(s, "node=%s\nvm.uuid=", config->node);
    for (guint i = 0; i < sizeof(config->vm_uuid); i++) {
        g_string_append_printf(s, "%02x", config->vm_uuid[i]);
    }
    g_string_append_printf(s, "\nvm.disks=%s\nstate=%s\n%s",
                           config->disks == FT_LEASE_DISKS_SHARED ? "shared"
                                                                  : "own",
                           state, config->identity ? config->identity : "");
    g_assert(s->len <= FT_HELLO_MAX);
    g_free(state);
    return g_string_free(s, FALSE);
}

void ft_core_hello_set(FtCore *core, guint64 state_id)
{
    g_free(core->hello);
    core->config.identity = core->identity;
    core->hello = ft_core_hello_new(&core->config, state_id);
    core->state_id = state_id;
}

char *ft_core_clean_text(const guint8 *data, gsize size)
{
    char *text;

    if (size == 0) {
        return g_strdup("");
    }
    size = MIN(size, FT_REASON_MAX);
    text = g_utf8_make_valid((const char *)data, size);
    for (char *p = text; *p; p++) {
        if (g_ascii_iscntrl(*p)) {
            *p = ' ';
        }
    }
    return g_strchomp(text);
}

gboolean ft_core_node_valid(const char *node)
{
    if (!*node || strlen(node) >= FT_NODE_MAX) {
        return FALSE;
    }
    for (const char *p = node; *p; p++) {
        if (g_ascii_iscntrl(*p) || *p == '"') {
            return FALSE;
        }
    }
    return TRUE;
}

/* The value of a line with this key; NULL: there is none. */
static const char *line_value(char **lines, const char *key, gsize key_len)
{
    for (; *lines; lines++) {
        if (!strncmp(*lines, key, key_len) && (*lines)[key_len] == '=') {
            return *lines + key_len + 1;
        }
    }
    return NULL;
}

/*
 * The first line of a[] that b[] has otherwise, as "key: ..." for people;
 * a's value is named first, or last.
 */
static char *line_difference(char **a, const char *a_name, char **b,
                             const char *b_name, gboolean a_first)
{
    for (; *a; a++) {
        const char *eq = strchr(*a, '=');
        const char *mine, *other;

        if (!eq || g_str_has_prefix(*a, "node=") ||
            g_str_has_prefix(*a, FT_CORE_APART)) {
            continue;
        }
        mine = eq + 1;
        other = line_value(b, *a, eq - *a);
        if (!other || strcmp(mine, other)) {
            other = other ? other : "(none)";
            return g_strdup_printf("%.*s: %s %s, %s %s", (int)(eq - *a), *a,
                                   a_first ? a_name : b_name,
                                   a_first ? mine : other,
                                   a_first ? b_name : a_name,
                                   a_first ? other : mine);
        }
    }
    return NULL;
}

static char *first_difference(char **a, const char *a_name, char **b,
                              const char *b_name)
{
    char *text = line_difference(a, a_name, b, b_name, TRUE);

    if (!text) {
        text = line_difference(b, b_name, a, a_name, FALSE);
    }
    /* A key that comes twice, say: the first one was found equal. */
    if (!text && g_strv_length(a) != g_strv_length(b)) {
        text = g_strdup("the two VMs have a different number of parts");
    }
    return text;
}

char *ft_core_hello_difference(const char *a, const char *a_name,
                               const char *b, const char *b_name)
{
    char **lines_a = g_strsplit(a, "\n", -1);
    char **lines_b = g_strsplit(b, "\n", -1);
    char *text = first_difference(lines_a, a_name, lines_b, b_name);

    g_strfreev(lines_a);
    g_strfreev(lines_b);
    return text;
}

/* Each side's own disk, and it is the same one. */
static char *same_disk(char **ours, char **theirs)
{
    for (; *ours; ours++) {
        if (g_str_has_prefix(*ours, FT_CORE_APART) &&
            g_strv_contains((const char *const *)theirs, *ours)) {
            return g_strdup_printf("both machines would write %s, each as a "
                                   "disk of its own; add disks=shared to -ft "
                                   "on both", strchr(*ours, '=') + 1);
        }
    }
    return NULL;
}

static char *compare_lines(FtCore *core, char **ours, char **theirs,
                           const char *node)
{
    gboolean primary = core->role == FT_ROLE_PRIMARY;
    char *text, *hint;

    if (!strcmp(node, core->config.node)) {
        return g_strdup_printf("both machines are called \"%s\": give one of "
                               "them another name with node=", node);
    }
    text = first_difference(primary ? ours : theirs, "primary",
                            primary ? theirs : ours, "backup");
    if (!text) {
        text = same_disk(ours, theirs);
    }
    if (text && g_str_has_prefix(text, "state: ")) {
        hint = g_strconcat(text, "; a VM that runs needs a backup started "
                           "with -incoming for it, a VM at power-on one "
                           "without", NULL);
        g_free(text);
        text = hint;
    }
    return text;
}

char *ft_core_hello_compare(FtCore *core, const guint8 *data, gsize size,
                            gboolean *bad)
{
    char *payload, *text = NULL;
    char **ours, **theirs;
    const char *node;

    *bad = size > FT_HELLO_MAX || !g_utf8_validate((const char *)data, size,
                                                   NULL);
    if (*bad) {
        return NULL;
    }
    payload = g_strndup((const char *)data, size);
    ours = g_strsplit(core->hello, "\n", -1);
    theirs = g_strsplit(payload, "\n", -1);
    node = line_value(theirs, "node", strlen("node"));
    *bad = !node || !ft_core_node_valid(node);
    if (!*bad) {
        text = compare_lines(core, ours, theirs, node);
        g_strlcpy(core->peer_node, node, FT_NODE_MAX);
    }
    if (text) {
        char *clean = ft_core_clean_text((const guint8 *)text, strlen(text));

        g_free(text);
        text = clean;
    }
    g_strfreev(ours);
    g_strfreev(theirs);
    g_free(payload);
    return text;
}
