/*
 * The -ft option.
 *
 * Thread: written while the command line is read, constant from then on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_OPTIONS_H
#define FT_OPTIONS_H

#include "core.h"
#include "qapi/qapi-types-sockets.h"

typedef enum FtDisksOption {
    FT_DISKS_DEFAULT,           /* shared if every writable one is a network's */
    FT_DISKS_OWN,
    FT_DISKS_SHARED,
} FtDisksOption;

typedef struct FtOptions {
    bool given;
    FtRole role;
    char *address_text;         /* peer= or listen=, as written */
    SocketAddress *address;
    char *lease_uri;            /* as it may be shown */
    bool new_vm;
    FtDisksOption disks;
    SocketAddress *mirror;      /* backup: where its disks may be written
                                   until its state is loaded; NULL: nowhere */
    bool own_reads;             /* a backup reads the shared disks itself */
    char *node;                 /* NULL: made from host and disk */
    char *log_path;             /* the log's file: written, or replayed */
    uint64_t spool;             /* backup without log=: bytes of it to keep
                                   for evidence; 0: none */

    /* -ft replay: a backup (role) whose log comes from a file. */
    bool replay;
    bool show;                  /* the guest's characters are let out */
    char *pc_path;              /* the guest's program counters go there */
    uint64_t stop_position;     /* 0: at the log's end */
    uint64_t stop_instruction;
    char *evidence;             /* where bundles go; NULL: the usual place */
    bool faults;                /* tests may damage this machine */
    bool no_fence;              /* tests want to see what it is good for */
    unsigned digest_ms;         /* 0: digests on demand only */
} FtOptions;

extern FtOptions ft_options;

/* Main thread: false, and nothing is changed, where it is out of bounds. */
bool ft_options_set_digest_ms(uint64_t ms, Error **errp);
/* HOST:PORT.  NULL: *errp says how to write it. */
SocketAddress *ft_options_address(const char *text, Error **errp);

#endif
