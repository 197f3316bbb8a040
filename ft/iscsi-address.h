/*
 * Where an iSCSI LUN is, and how to log in to it.
 *
 * Purpose: reads "iscsi://[user%password@]HOST[:PORT]/IQN/LUN"; keeps
 *   passwords out of everything that is shown.
 * Thread: any; nothing is shared.
 * Ownership: the caller frees what it gets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_ISCSI_ADDRESS_H
#define FT_ISCSI_ADDRESS_H

#include <glib.h>

/* CHAP names and passwords; each may be NULL.  The target's: mutual CHAP. */
typedef struct FtIscsiLogin {
    const char *user, *password;
    const char *target_user, *target_password;
    const char *initiator;      /* our IQN; NULL: FT_ISCSI_INITIATOR */
} FtIscsiLogin;

#define FT_ISCSI_INITIATOR "iqn.2008-11.org.linux-kvm:ft"

typedef struct FtIscsiAddress {
    char *shown;                /* the URI, its passwords as *** */
    char *portal, *target, *initiator;
    int lun;
    char *user, *password, *target_user, *target_password; /* "": none */
} FtIscsiAddress;

/* login may be NULL; what it has goes before the URI's.  NULL: *why. */
FtIscsiAddress *ft_iscsi_address_new(const char *uri,
                                     const FtIscsiLogin *login, char **why);
void ft_iscsi_address_free(FtIscsiAddress *address);

gboolean ft_iscsi_is_uri(const char *uri);
/* Any text, with the passwords of iSCSI URIs in it as ***; g_free it. */
char *ft_iscsi_mask(const char *uri);
gboolean ft_iscsi_has_password(const char *uri);

#endif
