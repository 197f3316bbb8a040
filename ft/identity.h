/*
 * What both machines of a pair must have the same of.
 *
 * Thread: the main thread, after the machine was created and reset, before
 *   the guest begins.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_IDENTITY_H
#define FT_IDENTITY_H

/* Sorted lines "key=value\n"; NULL and *errp when a disk can't be read. */
char *ft_identity_make(Error **errp);
/* The default name of this machine: its host and where its disk copy is. */
char *ft_identity_node(void);

#endif
