/*
 * The wire format between a primary and its backup: the only file that knows
 * the bytes.
 *
 * Purpose: frames on the log channel (TCP) and heartbeats (UDP datagrams).
 * Thread: any; nothing here keeps state between calls.
 * Units: sizes in bytes, positions in bytes of the session's log.
 * Everything is little-endian.  docs/protocol.md has the table of messages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_WIRE_H
#define FT_WIRE_H

#include <glib.h>

#define FT_WIRE_VERSION 1
#define FT_FRAME_HEADER_SIZE 48
#define FT_HEARTBEAT_SIZE 56

/* Explicit numbers: they are on the wire and are never reused. */
typedef enum FtFrameType {
    FT_FRAME_HELLO = 1,     /* both: who I am and what VM I have; text lines */
    FT_FRAME_REFUSE = 2,    /* both: this pair can't be; payload is the reason */
    FT_FRAME_PAIRED = 3,    /* P: the record names you; start the guest */
    FT_FRAME_LOG = 4,       /* P: entries; position is that of the first byte */
    FT_FRAME_ACK = 5,       /* B: position is received up to, payload below */
    FT_FRAME_KEEPALIVE = 6, /* P: position is appended up to */
    FT_FRAME_FAILOVER = 7,  /* P: please take over (test failover) */
    FT_FRAME_END = 8,       /* P: the session ends in order; payload the reason,
                               position the last byte of the log */
    FT_FRAME_FAILED = 9,    /* B: I stop here and take nothing over; payload
                               is why, position received up to */
} FtFrameType;

typedef enum FtFrameFlags {
    FT_FRAME_MORE = 1,      /* LOG: the transaction goes on in the next frame */
    FT_FRAME_UNPAIRED = 2,  /* END: protection was stopped; the VM runs on in P */
} FtFrameFlags;

/* Payload of FT_FRAME_ACK. */
typedef struct FtAck {
    guint64 executed;       /* log position the backup executed up to */
    guint64 icount;         /* instructions the backup executed */
} FtAck;

typedef struct FtFrame {
    FtFrameType type;
    guint32 flags;
    guint64 session;
    guint64 generation;
    guint64 position;
    guint32 held;           /* LOG, KEEPALIVE: outputs up to position - held
                               have left the primary */
    guint32 length;         /* payload bytes after the header */
    guint32 crc;            /* CRC32C of header (crc field 0) and payload */
} FtFrame;

typedef struct FtHeartbeat {
    guint64 session;
    guint64 generation;
    guint64 sequence;
    guint64 position;       /* P: appended; B: received */
    guint32 bound_ms;       /* after so much silence the sender suspects its
                               peer; 0: it does not yet */
    guint32 patience_ms;    /* the sender is not to be suspected before */
    guint8 role;            /* 1 primary, 2 backup */
} FtHeartbeat;

guint32 ft_wire_crc32c(guint32 crc, const void *buf, gsize len);

/* Fills header; frame->crc is computed from the payload. */
void ft_wire_frame_out(const FtFrame *frame, const void *payload,
                       guint8 *header);
/*
 * Checks magic, version, type, flags and length bound of a header.  False:
 * *why (static string) names what was wrong.  The CRC is checked by
 * ft_wire_frame_check, when the payload is there too.
 */
gboolean ft_wire_frame_in(FtFrame *frame, const guint8 *header,
                          const char **why);
/* Of what ft_wire_frame_in() checks, all that the frame itself holds. */
gboolean ft_wire_frame_fits(const FtFrame *frame, const char **why);
/* The checksum in a header that ft_wire_frame_out() has filled. */
guint32 ft_wire_frame_crc(const guint8 *header);
/* Does a frame of this type have a meaningful held field? */
gboolean ft_wire_tells_held(FtFrameType type);
gboolean ft_wire_frame_check(const FtFrame *frame, const void *payload,
                             const char **why);

void ft_wire_heartbeat_out(const FtHeartbeat *hb, guint8 *datagram);
gboolean ft_wire_heartbeat_in(FtHeartbeat *hb, const void *datagram,
                              gsize size, const char **why);

void ft_wire_ack_out(const FtAck *ack, guint8 *payload);
gboolean ft_wire_ack_in(FtAck *ack, const void *payload, gsize size);
#define FT_ACK_SIZE 16

#endif
