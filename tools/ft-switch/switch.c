/*
 * The switch: ports and the table of which port has which MAC.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "keep.h"
#include "switch.h"

#define MAC_SIZE 6

typedef struct MacEntry {
    guint8 mac[MAC_SIZE];
    FtPort *port;                   /* NULL: the port it was on is closed */
    guint last_number;              /* of the port it was seen on last */
    gint64 heard_us;
    FtKeep keep;                    /* the last frames for it */
} MacEntry;

struct FtSwitch {
    FtJournal *journal;
    GPtrArray *ports;               /* FtPort, not owned */
    GHashTable *macs;               /* MacEntry by its mac */
    guint next_number;
};

static guint mac_hash(gconstpointer key)
{
    const guint8 *mac = key;

    return mac[2] << 24 | mac[3] << 16 | mac[4] << 8 | mac[5];
}

static gboolean mac_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, MAC_SIZE) == 0;
}

static gboolean mac_is_group(const guint8 *mac)
{
    return mac[0] & 1;
}

static void mac_text(const guint8 *mac, char *text, gsize size)
{
    g_snprintf(text, size, "%02x:%02x:%02x:%02x:%02x:%02x",
               mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static void entry_free(gpointer data)
{
    MacEntry *entry = data;

    ft_keep_clear(&entry->keep);
    g_free(entry);
}

FtSwitch *ft_switch_new(FtJournal *journal)
{
    FtSwitch *sw = g_new0(FtSwitch, 1);

    sw->journal = journal;
    sw->ports = g_ptr_array_new();
    sw->macs = g_hash_table_new_full(mac_hash, mac_equal, NULL,
                                     entry_free);
    return sw;
}

void ft_switch_free(FtSwitch *sw)
{
    g_assert(sw->ports->len == 0);
    g_hash_table_destroy(sw->macs);
    g_ptr_array_free(sw->ports, TRUE);
    g_free(sw);
}

void ft_switch_port_add(FtSwitch *sw, FtPort *port, FtPortDeliver *deliver)
{
    port->sw = sw;
    port->deliver = deliver;
    port->number = sw->next_number++;
    g_ptr_array_add(sw->ports, port);
}

static void report_port(FtSwitch *sw, const FtPort *port)
{
    ft_journal_write(sw->journal,
                     "\"event\":\"stats\",\"port\":%u,"
                     "\"rx-frames\":%" G_GUINT64_FORMAT ","
                     "\"tx-frames\":%" G_GUINT64_FORMAT ","
                     "\"rx-drops\":%" G_GUINT64_FORMAT ","
                     "\"tx-drops\":%" G_GUINT64_FORMAT,
                     port->number, port->rx_frames, port->tx_frames,
                     port->rx_drops, port->tx_drops);
}

void ft_switch_port_remove(FtPort *port)
{
    FtSwitch *sw = port->sw;
    GHashTableIter iter;
    MacEntry *entry;

    report_port(sw, port);
    g_hash_table_iter_init(&iter, sw->macs);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&entry)) {
        if (entry->port == port) {
            entry->port = NULL;
        }
    }
    g_ptr_array_remove(sw->ports, port);
}

guint ft_switch_port_count(const FtSwitch *sw)
{
    return sw->ports->len;
}

void ft_switch_report(FtSwitch *sw)
{
    for (guint i = 0; i < sw->ports->len; i++) {
        report_port(sw, sw->ports->pdata[i]);
    }
}

/* Bounds the table against a port that sends from ever new addresses. */
static void evict_one(FtSwitch *sw)
{
    GHashTableIter iter;
    MacEntry *entry, *oldest = NULL;

    g_hash_table_iter_init(&iter, sw->macs);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&entry)) {
        if (!oldest || entry->heard_us < oldest->heard_us) {
            oldest = entry;
        }
    }
    if (oldest) {
        g_hash_table_remove(sw->macs, oldest->mac);
    }
}

static void output(FtPort *to, const guint8 *frame, gsize size)
{
    if (to->deliver(to, frame, size)) {
        to->tx_frames++;
    } else {
        to->tx_drops++;
    }
}

static void output_kept(gpointer opaque, const guint8 *frame, gsize size)
{
    output(opaque, frame, size);
}

static void learn(FtPort *port, const guint8 *mac)
{
    FtSwitch *sw = port->sw;
    MacEntry *entry = g_hash_table_lookup(sw->macs, mac);
    char text[3 * MAC_SIZE];

    mac_text(mac, text, sizeof(text));
    if (!entry) {
        if (g_hash_table_size(sw->macs) >= FT_SWITCH_MACS_MAX) {
            evict_one(sw);
        }
        entry = g_new0(MacEntry, 1);
        ft_keep_init(&entry->keep);
        memcpy(entry->mac, mac, MAC_SIZE);
        g_hash_table_insert(sw->macs, entry->mac, entry);
        ft_journal_write(sw->journal,
                         "\"event\":\"learn\",\"mac\":\"%s\",\"port\":%u",
                         text, port->number);
    } else if (entry->last_number != port->number) {
        ft_journal_write(sw->journal,
                         "\"event\":\"move\",\"mac\":\"%s\","
                         "\"from\":%u,\"port\":%u",
                         text, entry->last_number, port->number);
        ft_keep_deliver(&entry->keep, g_get_monotonic_time(), output_kept,
                        port);
    }
    entry->port = port;
    entry->last_number = port->number;
    entry->heard_us = g_get_monotonic_time();
}

void ft_switch_input(FtPort *port, const guint8 *frame, gsize size)
{
    FtSwitch *sw = port->sw;
    const guint8 *to_mac = frame, *from_mac = frame + MAC_SIZE;
    MacEntry *entry;

    if (size < FT_SWITCH_FRAME_MIN) {
        port->rx_drops++;
        return;
    }
    port->rx_frames++;
    if (!mac_is_group(from_mac)) {
        learn(port, from_mac);
    }
    entry = mac_is_group(to_mac) ? NULL
                                 : g_hash_table_lookup(sw->macs, to_mac);
    if (entry && entry->port != port) {
        ft_keep_add(&entry->keep, frame, size, g_get_monotonic_time());
    }
    if (entry && entry->port) {
        if (entry->port != port) {
            output(entry->port, frame, size);
        }
        return;
    }
    for (guint i = 0; i < sw->ports->len; i++) {
        FtPort *to = sw->ports->pdata[i];

        if (to != port) {
            output(to, frame, size);
        }
    }
}
