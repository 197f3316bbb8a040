/*
 * The network: channels that are late, cut, half open or damaged, and
 * datagrams that are late, lost, doubled and out of order.
 *
 * Frames and heartbeats cross it as bytes of the real wire format.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "sim.h"

typedef struct SimPacket {
    gint64 at;
    gsize size;                 /* 0: the channel's end */
    guint8 bytes[];
} SimPacket;

static SimChannel *channel_of(Sim *sim, guint number)
{
    return g_ptr_array_index(sim->channels, number);
}

static void packet_put(Sim *sim, guint number, guint side, SimPacket *packet)
{
    SimChannel *channel = channel_of(sim, number);
    SimPipe *pipe = &channel->to[side];

    packet->at = MAX(pipe->last_at, sim->now +
                     sim_between(sim, 10, sim->channel_delay_us));
    pipe->last_at = packet->at;
    g_queue_push_tail(&pipe->packets, packet);
    if (channel->node[side] >= 0) {
        sim_later(sim, packet->at - sim->now, SIM_DELIVER,
                  &sim->nodes[channel->node[side]], number, 0, NULL);
    }
}

static void end_put(Sim *sim, guint number, guint side)
{
    packet_put(sim, number, side, g_malloc0(sizeof(SimPacket)));
}

static void frame_put(Sim *sim, guint number, guint side,
                      const FtFrame *frame, const guint8 *data)
{
    gsize size = FT_FRAME_HEADER_SIZE + frame->length;
    SimPacket *packet = g_malloc0(sizeof(*packet) + size);

    packet->size = size;
    ft_wire_frame_out(frame, data, packet->bytes);
    if (frame->length) {
        memcpy(packet->bytes + FT_FRAME_HEADER_SIZE, data, frame->length);
    }
    if (sim->corrupt_next && --sim->corrupt_next == 0) {
        sim_say(sim, NULL, "a frame is damaged");
        packet->bytes[sim_between(sim, 0, size - 1)] ^= 1 <<
            sim_between(sim, 0, 7);
        sim->fatal++;
    }
    packet_put(sim, number, side, packet);
}

void sim_net_connect(Sim *sim, SimNode *node)
{
    sim_later(sim, sim_between(sim, 10, 2 * sim->channel_delay_us),
              SIM_CONNECT, node, 0, 0, NULL);
}

/* The driver's word to a second primary; the core is not asked. */
static void refuse_busy(Sim *sim, guint number)
{
    static const char text[] = "peer-busy: another primary is connected";
    FtFrame frame = { .type = FT_FRAME_REFUSE, .length = strlen(text) };

    frame_put(sim, number, 0, &frame, (const guint8 *)text);
    end_put(sim, number, 0);
}

void sim_net_connect_arrives(Sim *sim, SimNode *node)
{
    SimNode *peer = &sim->nodes[node->target >= 0 ? node->target
                                                  : sim->target];
    SimChannel *channel;
    gboolean busy;

    if (!peer->alive || peer == node || sim->channels_cut ||
        peer->role == FT_ROLE_PRIMARY || peer->state == FT_STATE_INIT ||
        peer->paused_until > sim->now) {
        sim_node_event(sim, node, &(FtEvent) {
            .type = FT_EVENT_CONNECT_FAILED, .text = "no answer" });
        return;
    }
    busy = peer->state != FT_STATE_LISTENING;
    channel = g_new0(SimChannel, 1);
    channel->boot = -1;
    channel->node[0] = node->index;
    channel->node[1] = busy ? -1 : peer->index;
    channel->open[0] = TRUE;
    channel->open[1] = !busy;
    g_ptr_array_add(sim->channels, channel);
    node->channel = sim->channels->len - 1;
    node->peer = peer->index;
    if (busy) {
        refuse_busy(sim, node->channel);
    } else {
        peer->channel = node->channel;
        peer->peer = node->index;
        sim_node_event(sim, peer, &(FtEvent) { .type = FT_EVENT_CONNECTED });
    }
    sim_node_event(sim, node, &(FtEvent) { .type = FT_EVENT_CONNECTED });
}

static guint side_of(const SimChannel *channel, const SimNode *node)
{
    return channel->node[0] == node->index ? 0 : 1;
}

void sim_net_send(Sim *sim, SimNode *node, const FtFrame *frame,
                  const guint8 *data)
{
    if (node->channel >= 0) {
        SimChannel *channel = channel_of(sim, node->channel);

        frame_put(sim, node->channel, !side_of(channel, node), frame, data);
    }
}

void sim_net_close(Sim *sim, SimNode *node, SimClose how)
{
    SimChannel *channel;
    guint side;

    if (node->channel < 0) {
        return;
    }
    channel = channel_of(sim, node->channel);
    side = side_of(channel, node);
    channel->open[side] = FALSE;
    if (how == SIM_CLOSE_RESET) {
        g_queue_clear_full(&channel->to[!side].packets, g_free);
    }
    if (how != SIM_CLOSE_SILENT) {
        end_put(sim, node->channel, !side);
    }
    node->channel = -1;
}

static void packet_deliver(Sim *sim, SimNode *node, const SimPacket *packet)
{
    const guint8 *payload = packet->bytes + FT_FRAME_HEADER_SIZE;
    const char *why = "";
    FtFrame frame;

    if (packet->size == 0) {
        node->channel = -1;
        sim_node_event(sim, node, &(FtEvent) {
            .type = FT_EVENT_CLOSED, .text = "closed by the peer" });
        return;
    }
    if (!ft_wire_frame_in(&frame, packet->bytes, &why) ||
        frame.length + FT_FRAME_HEADER_SIZE != packet->size ||
        !ft_wire_frame_check(&frame, payload, &why)) {
        sim->fatal++;
        sim_node_event(sim, node, &(FtEvent) {
            .type = FT_EVENT_BAD_FRAME, .text = why });
        return;
    }
    if (sim->mutation == SIM_MUTATION_HALF_TRANSACTION) {
        frame.flags &= ~FT_FRAME_MORE;
    }
    if (ft_wire_tells_held(frame.type) &&
        (node->state == FT_STATE_PAIRING ||
         node->state == FT_STATE_PROTECTED)) {
        node->left = MAX(node->left,
                         node->base + frame.position - frame.held);
    }
    sim_node_event(sim, node, &(FtEvent) {
        .type = FT_EVENT_FRAME, .frame = &frame, .data = payload,
        .size = frame.length });
}

void sim_net_deliver(Sim *sim, SimNode *node, guint number)
{
    SimChannel *channel = channel_of(sim, number);
    guint side = side_of(channel, node);
    SimPipe *pipe = &channel->to[side];
    gboolean some = FALSE;
    SimPacket *packet;

    while (node->alive && node->paused_until <= sim->now &&
           channel->open[side] && !pipe->cut && !pipe->dead &&
           (packet = g_queue_peek_head(&pipe->packets)) &&
           packet->at <= sim->now) {
        g_queue_pop_head(&pipe->packets);
        channel->open[side] = packet->size > 0;
        packet_deliver(sim, node, packet);
        g_free(packet);
        some = TRUE;
    }
    if (node->alive && node->paused_until > sim->now) {
        sim_later(sim, 0, SIM_DELIVER, node, number, 0, NULL);
    } else if (some && node->alive) {
        sim_node_event(sim, node, &(FtEvent) { .type = FT_EVENT_IDLE });
    }
}

void sim_net_cut(Sim *sim, gboolean cut, gboolean one_way)
{
    guint only = sim_between(sim, 0, 1);
    gboolean for_good = sim_chance(sim, 30);

    sim->channels_cut = cut;
    for (guint i = 0; i < sim->channels->len; i++) {
        SimChannel *channel = channel_of(sim, i);

        for (guint side = 0; side < 2; side++) {
            if (cut && one_way && side != only) {
                continue;
            }
            /* A firewall may forget what was open, and tell nobody. */
            channel->to[side].dead |= cut && for_good;
            channel->to[side].cut = cut;
            if (!cut && channel->node[side] >= 0) {
                sim_later(sim, 1, SIM_DELIVER,
                          &sim->nodes[channel->node[side]], i, 0, NULL);
            }
        }
    }
}

/* As a firewall does: both ends learn that the channel is gone. */
void sim_net_reset_all(Sim *sim)
{
    for (guint i = 0; i < sim->channels->len; i++) {
        SimChannel *channel = channel_of(sim, i);

        for (guint side = 0; side < 2; side++) {
            if (channel->open[side]) {
                g_queue_clear_full(&channel->to[side].packets, g_free);
                end_put(sim, i, side);
            }
        }
    }
}

void sim_net_heartbeat(Sim *sim, SimNode *node, const FtHeartbeat *heartbeat)
{
    guint copies = sim_chance(sim, 5) ? 2 : 1;

    if (sim->datagrams_cut || node->peer < 0) {
        return;
    }
    while (copies--) {
        guint8 *datagram;

        if (sim_chance(sim, sim->datagram_loss_percent)) {
            continue;
        }
        datagram = g_malloc(FT_HEARTBEAT_SIZE);
        ft_wire_heartbeat_out(heartbeat, datagram);
        sim_later(sim, sim_between(sim, 10, sim->datagram_delay_us),
                  SIM_DATAGRAM, &sim->nodes[node->peer], 0, 0, datagram);
    }
}

void sim_net_datagram(Sim *sim, SimNode *node, const guint8 *datagram)
{
    FtHeartbeat heartbeat;
    const char *why;

    if (ft_wire_heartbeat_in(&heartbeat, datagram, FT_HEARTBEAT_SIZE, &why)) {
        sim_node_event(sim, node, &(FtEvent) {
            .type = FT_EVENT_HEARTBEAT, .heartbeat = &heartbeat });
    }
}

void sim_net_free(Sim *sim)
{
    for (guint i = 0; i < sim->channels->len; i++) {
        SimChannel *channel = channel_of(sim, i);

        g_queue_clear_full(&channel->to[0].packets, g_free);
        g_queue_clear_full(&channel->to[1].packets, g_free);
        g_free(channel);
    }
    g_ptr_array_free(sim->channels, TRUE);
}
