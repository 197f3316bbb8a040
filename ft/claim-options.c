/*
 * The options that say where the lease is and how to log in to it.
 *
 * Passwords come from -object secret, as for QEMU's own iSCSI driver, and
 * are forgotten here as soon as the lease has them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "crypto/secret.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "claim-options.h"

static struct {
    char *uri;
    char *user, *secret, *target_user, *target_secret, *initiator;
    FtLease *lease;
} co;

static char *take(QemuOpts *opts, const char *name)
{
    return g_strdup(qemu_opt_get(opts, name));
}

static bool has_login(void)
{
    return co.user || co.secret || co.target_user || co.target_secret ||
           co.initiator;
}

G_NORETURN static void fail(const char *what)
{
    error_report("%s", what);
    error_printf("Try '-ft help'.\n");
    exit(1);
}

/* Whether it will do; the secrets are not known yet. */
static void check(void)
{
    FtIscsiLogin login = {
        .user = co.user,
        .password = co.secret,
        .target_user = co.target_user,
        .target_password = co.target_secret,
    };
    g_autofree char *why = NULL;
    FtLease *lease = ft_lease_open(co.uri, &login, &why);

    if (!lease) {
        fail(why);
    }
    ft_lease_close(lease);
    if (has_login() && !ft_iscsi_is_uri(co.uri)) {
        fail("lease-user=, lease-secret= and the like are for "
             "lease=iscsi://...");
    }
    if (ft_iscsi_has_password(co.uri)) {
        warn_report("-ft lease=: everybody on this host can read a password "
                    "on the command line (ps shows it); use "
                    "-object secret,id=ID,file=FILE with lease-secret=ID");
    }
}

char *ft_claim_options_parse(QemuOpts *opts)
{
    co.uri = take(opts, "lease");
    co.user = take(opts, "lease-user");
    co.secret = take(opts, "lease-secret");
    co.target_user = take(opts, "lease-target-user");
    co.target_secret = take(opts, "lease-target-secret");
    co.initiator = take(opts, "lease-initiator");
    if (!co.uri) {
        fail("needs lease=URI: without it both sides could go on alone");
    }
    check();
    return ft_iscsi_mask(co.uri);
}

static bool look_up(const char *id, char **password, Error **errp)
{
    if (!id) {
        return true;
    }
    *password = qcrypto_secret_lookup_as_utf8(id, errp);
    if (!*password) {
        error_prepend(errp, "lease-secret=%s: ", id);
        return false;
    }
    (*password)[strcspn(*password, "\r\n")] = 0;  /* an editor's line end */
    return true;
}

bool ft_claim_options_resolve(Error **errp)
{
    ERRP_GUARD();
    g_autofree char *password = NULL, *target_password = NULL, *why = NULL;
    FtIscsiLogin login = {
        .user = co.user,
        .target_user = co.target_user,
        .initiator = co.initiator,
    };

    if (!look_up(co.secret, &password, errp) ||
        !look_up(co.target_secret, &target_password, errp)) {
        return false;
    }
    login.password = password;
    login.target_password = target_password;
    co.lease = ft_lease_open(co.uri, &login, &why);
    if (!co.lease) {
        error_setg(errp, "%s", why);
        return false;
    }
    if (password) {
        explicit_bzero(password, strlen(password));
    }
    if (target_password) {
        explicit_bzero(target_password, strlen(target_password));
    }
    return true;
}

FtLease *ft_claim_options_lease(void)
{
    return g_steal_pointer(&co.lease);
}
