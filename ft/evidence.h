/*
 * What is left when a backup, or a replay, stops because it differs from its
 * log's machine: a directory with all that helps to find out why.
 *
 * Purpose: files for a person, and for a replay of the same log.
 * Thread: setup in the main thread, ft_evidence_digests() where the digests
 *   are compared, ft_evidence_write() in any thread, whatever it holds.
 * Ownership: texts are copied.
 * docs/divergence.md says what is in the directory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_EVIDENCE_H
#define FT_EVIDENCE_H

#include "digest-data.h"

/* directory: below it each bundle gets its own; NULL: the usual place. */
void ft_evidence_setup(const char *directory);
/* Where bundles go, made if it is not there; NULL: it can't be made. */
const char *ft_evidence_directory(void);
/* The two that differ, before ft_evidence_write(). */
void ft_evidence_digests(const FtDigestData *mine, const FtDigestData *theirs,
                         const char *differences);
/*
 * Writes the bundle, once in a process.  Returns "; evidence is in DIR", or
 * why there is none, to be put behind why; (g_free).
 */
char *ft_evidence_write(const char *why);

#endif
