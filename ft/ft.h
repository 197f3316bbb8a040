/*
 * What the rest of QEMU calls: the hooks of the fault-tolerance subsystem.
 *
 * Purpose: one call a site; without -ft each does nothing.
 * Thread: the main thread under the BQL and the replay mutex, unless said
 *   otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_FT_H
#define FT_FT_H

typedef struct AioContext AioContext;
typedef struct BlockDriverState BlockDriverState;
typedef struct Chardev Chardev;
typedef struct Monitor Monitor;
typedef struct QDict QDict;
typedef struct QObject QObject;
typedef struct QEMUIOVector QEMUIOVector;
typedef struct QEMUTimer QEMUTimer;
struct QemuOpts;
struct QEMUFile;
struct HMPCommand;
struct Object;
struct Error;
struct QDict;

/* -ft ARG.  Exits on help and on errors. */
void ft_options_parse(const char *arg);
/*
 * Before the replay engine is configured: returns the -icount options to
 * use.  Without -ft those it was given.
 */
struct QemuOpts *ft_setup(struct QemuOpts *icount);
/* The user's machine options were applied; -ft's own follow. */
void ft_settings_for_machine(struct Object *machine);

/*
 * An iSCSI LUN was opened; true: it may be a shared disk, which the fence
 * watches over, and is written by plain writes only.  It closes.
 */
struct iscsi_context;
bool ft_fence_lun_opened(BlockDriverState *bs,
                         struct iscsi_context *ctx, int number);
void ft_fence_lun_closed(BlockDriverState *bs);

/* More flags to open a drive with. */
int ft_disks_open_flags(const char *file, struct QDict *options);
/* An image's lock can't be had: *errp gets a hint for a pair. */
void ft_disks_locked(struct Error **errp);

/* Each gets what was requested and returns what to act on now. */
int ft_control_reset(int cause);
int ft_control_powerdown(int requested);
int ft_control_shutdown(int cause);
int ft_control_vmstop(int state);
/* Primary: the guest's NMI is raised, or a network card's cable is moved. */
void ft_host_nmi(void);
void ft_host_link(const char *name, bool up);
/* An e1000 has its state; timer: until then it holds what comes in, in ms. */
void ft_net_hook_e1000_loaded(QEMUTimer *timer);
/* True: an HMP command was refused, with a message on the monitor. */
bool ft_control_hmp_refused(Monitor *mon, const struct HMPCommand *cmd);
/* True: the answer to request is taken; it leaves when it may. */
bool ft_reply_hold(Monitor *monitor, QObject *request, QDict *text);

/* A section of the devices' state begins; true: it is not wanted. */
bool ft_digest_section(struct QEMUFile *f, const char *name,
                       uint32_t instance);
/* True: f gets a digest, while the guest may run. */
bool ft_digest_is_for(struct QEMUFile *f);
/*
 * The machine goes on, and a device has work to do.  True: fn is called
 * before the guest executes an instruction.
 */
bool ft_restart_later(void (*fn)(void *opaque), void *opaque);
/*
 * A device leaves work to the main loop.  True: fn is called at an
 * instruction that the log tells; or by flush, when the device is reset.
 */
bool ft_oneshot_schedule(void (*fn)(void *opaque), void *opaque);
bool ft_oneshot_schedule_bh(QEMUBH *bh);
bool ft_oneshot_waits(void);
void ft_oneshot_flush(void);
/*
 * A block driver below the disk guards has work for its main loop: that is
 * this host's own affair, for the guards log what comes of it.  True: done.
 */
bool ft_oneshot_below(AioContext *ctx, void (*fn)(void *opaque),
                      void *opaque);
/*
 * A device waits for a request that it cancelled: every disk's requests
 * complete now.
 */
void ft_disk_drain(void);
/*
 * A file of a disk is read.  True: all of it was in the host's memory, and is
 * in qiov now.  Any thread.
 */
bool ft_disk_read_now(BlockDriverState *bs, int fd, const QEMUIOVector *qiov,
                      int64_t offset);
/* Between these, requests to own disks complete as they are done. */
void ft_disk_graph_begin(void);
void ft_disk_graph_end(void);

/* Any thread with the replay mutex.  True: the bytes were taken. */
bool ft_char_hold(Chardev *chr, const uint8_t *buf, int len);
/*
 * Input waits in the engine's queue before the device has it; a backend that
 * reads on meanwhile would overrun the device.
 */
void ft_char_input_queue(Chardev *chr);
bool ft_char_input_queued(Chardev *chr);
void ft_char_input_arrived(Chardev *chr);
/* True: the event is taken; it reaches the device through the log. */
bool ft_char_event(Chardev *chr, int event);

#endif
