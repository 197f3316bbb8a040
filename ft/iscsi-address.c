/*
 * Where an iSCSI LUN is, and how to log in to it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <iscsi/iscsi.h>
#include <string.h>

#include "iscsi-address.h"

#define SCHEME "iscsi://"
#define TARGET_PASSWORD "target_password="
#define MASK "***"

gboolean ft_iscsi_is_uri(const char *uri)
{
    return g_str_has_prefix(uri, SCHEME);
}

/*
 * Where the password of the URI at start begins, NULL: there is none.  *end:
 * its '@', the last one: a password that holds one must not show half of it.
 */
static const char *password_of(const char *start, const char *limit,
                               const char **end)
{
    const char *percent;

    *end = g_strrstr_len(start, limit - start, "@");
    percent = *end ? memchr(start, '%', *end - start) : NULL;
    return percent ? percent + 1 : NULL;
}

static void append_masked_query(GString *text, const char *rest,
                                const char *limit)
{
    const char *at;

    while ((at = g_strstr_len(rest, limit - rest, TARGET_PASSWORD))) {
        at += strlen(TARGET_PASSWORD);
        g_string_append_len(text, rest, at - rest);
        g_string_append(text, MASK);
        rest = MIN(at + strcspn(at, "&,"), limit);
    }
    g_string_append_len(text, rest, limit - rest);
}

char *ft_iscsi_mask(const char *uri)
{
    GString *text = g_string_new(NULL);
    const char *rest = uri, *end, *limit, *at;

    while ((at = strstr(rest, SCHEME))) {
        at += strlen(SCHEME);
        g_string_append_len(text, rest, at - rest);
        limit = strstr(at, SCHEME) ?: at + strlen(at);
        rest = password_of(at, limit, &end);
        if (rest) {
            g_string_append_len(text, at, rest - at);
            g_string_append(text, MASK);
            at = end;
        }
        append_masked_query(text, at, limit);
        rest = limit;
    }
    g_string_append(text, rest);
    return g_string_free(text, FALSE);
}

gboolean ft_iscsi_has_password(const char *uri)
{
    char *masked = ft_iscsi_mask(uri);
    gboolean has = strcmp(masked, uri) != 0;

    g_free(masked);
    return has;
}

/* The URI's parts, as libiscsi reads them. */
static gboolean parse(FtIscsiAddress *address, const char *uri)
{
    struct iscsi_context *ctx = iscsi_create_context(FT_ISCSI_INITIATOR);
    struct iscsi_url *url = ctx ? iscsi_parse_full_url(ctx, uri) : NULL;
    gboolean ok = url && *url->portal && *url->target && url->lun >= 0;

    if (ok) {
        address->portal = g_strdup(url->portal);
        address->target = g_strdup(url->target);
        address->lun = url->lun;
        address->user = g_strdup(url->user);
        address->password = g_strdup(url->passwd);
        address->target_user = g_strdup(url->target_user);
        address->target_password = g_strdup(url->target_passwd);
    }
    if (url) {
        iscsi_destroy_url(url);
    }
    if (ctx) {
        iscsi_destroy_context(ctx);
    }
    return ok;
}

static void prefer(char **value, const char *other)
{
    if (other) {
        g_free(*value);
        *value = g_strdup(other);
    }
}

/* What lacks of a login; NULL: nothing. */
static const char *incomplete(const FtIscsiAddress *address)
{
    if (*address->user && !*address->password) {
        return "names a user but there is no password; give one";
    }
    if (*address->password && !*address->user) {
        return "has a password but no user; give one";
    }
    if (*address->target_user && !*address->target_password) {
        return "names the target's user but there is no password of it; "
               "give one";
    }
    if (*address->target_password && !*address->target_user) {
        return "has the target's password but not the target's user; give it";
    }
    if (*address->target_user && !*address->user) {
        return "lets the target log in here, but not this machine there; "
               "give user and password too";
    }
    return NULL;
}

FtIscsiAddress *ft_iscsi_address_new(const char *uri,
                                     const FtIscsiLogin *login, char **why)
{
    static const FtIscsiLogin none;
    FtIscsiAddress *address = g_new0(FtIscsiAddress, 1);
    const char *lack;

    login = login ?: &none;
    address->shown = ft_iscsi_mask(uri);
    if (!parse(address, uri)) {
        *why = g_strdup_printf("%s is no iSCSI address; write "
                               "iscsi://HOST[:PORT]/IQN/LUN", address->shown);
        ft_iscsi_address_free(address);
        return NULL;
    }
    address->initiator = g_strdup(login->initiator ?: FT_ISCSI_INITIATOR);
    prefer(&address->user, login->user);
    prefer(&address->password, login->password);
    prefer(&address->target_user, login->target_user);
    prefer(&address->target_password, login->target_password);
    lack = incomplete(address);
    if (lack) {
        *why = g_strdup_printf("%s %s", address->shown, lack);
        ft_iscsi_address_free(address);
        return NULL;
    }
    return address;
}

static void wipe(char *secret)
{
    if (secret) {
        explicit_bzero(secret, strlen(secret));
        g_free(secret);
    }
}

void ft_iscsi_address_free(FtIscsiAddress *address)
{
    if (!address) {
        return;
    }
    wipe(address->password);
    wipe(address->target_password);
    g_free(address->user);
    g_free(address->target_user);
    g_free(address->portal);
    g_free(address->target);
    g_free(address->initiator);
    g_free(address->shown);
    g_free(address);
}
