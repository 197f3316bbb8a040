/*
 * Log entries: what each is, for people and for those who count.
 *
 * Thread: any; nothing here has state.  Used by QEMU and by ft-log, which
 *   has no machine: nothing here may need one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef REPLAY_FT_ENTRY_H
#define REPLAY_FT_ENTRY_H

typedef enum FtEntryKind {
    FT_ENTRY_INSTRUCTIONS,      /* execute so many */
    FT_ENTRY_INTERRUPT,
    FT_ENTRY_EXCEPTION,
    FT_ENTRY_BH,                /* a bottom half of a device */
    FT_ENTRY_INPUT,             /* keyboard and mouse */
    FT_ENTRY_CHAR,              /* bytes from a chardev, or what it took */
    FT_ENTRY_DISK,              /* a request completed */
    FT_ENTRY_NET,               /* a packet from the network */
    FT_ENTRY_SHUTDOWN,
    FT_ENTRY_RANDOM,
    FT_ENTRY_CLOCK,             /* a reading */
    FT_ENTRY_CHECKPOINT,        /* timers of the main loop ran */
    FT_ENTRY_CONTROL,           /* this project's, FtControl */
    FT_ENTRY_KIND__MAX
} FtEntryKind;

/* data is at an entry that ft_entry_length() measured. */
FtEntryKind ft_entry_kind(const uint8_t *data);
const char *ft_entry_kind_name(FtEntryKind kind);
/* Instructions that the entry executes; 0 for all but FT_ENTRY_INSTRUCTIONS. */
uint32_t ft_entry_instructions(const uint8_t *data);
/* The same entry with fewer. */
void ft_entry_set_instructions(uint8_t *data, uint32_t count);

/* Appends what the entry says, one line without its kind. */
void ft_entry_describe(GString *out, const uint8_t *data, size_t size);
/* True: it reads a clock, one of FT_ENTRY_CLOCKS, which shows ns. */
bool ft_entry_clock(const uint8_t *data, unsigned *clock, int64_t *ns);
#define FT_ENTRY_CLOCKS 2

#endif
