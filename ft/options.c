/*
 * The -ft option.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/config-file.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/help_option.h"
#include "qemu/option.h"
#include "qemu/sockets.h"
#include "qemu/units.h"
#include "ft.h"
#include "claim-options.h"
#include "devices.h"
#include "options.h"

/* A fault is found within a second, with time for it to be executed. */
#define DIGEST_MS 500
#define DIGEST_MS_MIN 10
#define DIGEST_MS_MAX (24 * 60 * 60 * 1000)

/* More than a busy hour of log. */
#define SPOOL_BYTES (1 * GiB)

FtOptions ft_options;

static QemuOptsList ft_opts = {
    .name = "ft",
    .implied_opt_name = "role",
    .head = QTAILQ_HEAD_INITIALIZER(ft_opts.head),
    .desc = {
        { .name = "role", .type = QEMU_OPT_STRING },
        { .name = "peer", .type = QEMU_OPT_STRING },
        { .name = "listen", .type = QEMU_OPT_STRING },
        FT_CLAIM_OPTIONS,
        { .name = "new", .type = QEMU_OPT_BOOL },
        { .name = "node", .type = QEMU_OPT_STRING },
        { .name = "disks", .type = QEMU_OPT_STRING },
        { .name = "mirror", .type = QEMU_OPT_STRING },
        { .name = "reads", .type = QEMU_OPT_STRING },
        { .name = "log", .type = QEMU_OPT_STRING },
        { .name = "spool", .type = QEMU_OPT_SIZE },
        { .name = "pc", .type = QEMU_OPT_STRING },
        { .name = "show", .type = QEMU_OPT_BOOL },
        { .name = "stop-position", .type = QEMU_OPT_NUMBER },
        { .name = "stop-instruction", .type = QEMU_OPT_NUMBER },
        { .name = "x-faults", .type = QEMU_OPT_BOOL },
        { .name = "x-fence", .type = QEMU_OPT_BOOL },
        { .name = "evidence", .type = QEMU_OPT_STRING },
        { .name = "digest-ms", .type = QEMU_OPT_NUMBER },
        { /* end */ }
    },
};

static void print_help(void)
{
    printf(
"Two machines run one guest; when the primary dies, the backup goes on.\n"
"Start both with the same options but for -ft, sockets and, unless they are\n"
"shared, disk images (each its own copy, with the same contents):\n"
"\n"
"  -ft primary,peer=HOST:PORT,lease=URI[,new=on][,node=NAME][,log=FILE]\n"
"      [,disks=shared|own]\n"
"  -ft backup,listen=HOST:PORT,lease=URI[,node=NAME][,log=FILE]\n"
"      [,disks=shared|own][,mirror=HOST:PORT]\n"
"  -ft replay,log=FILE[,show=on][,pc=FILE][,stop-position=N]\n"
"      [,stop-instruction=N]\n"
"\n"
"  peer=HOST:PORT    the backup's address (TCP for the log, UDP heartbeats)\n"
"  listen=HOST:PORT  where the backup waits for its primary\n"
"  lease=dir:PATH    a directory that both reach, one a VM; it decides who\n"
"                    goes on alone\n"
"  lease=iscsi://[USER@]HOST[:PORT]/IQN/LUN  or a LUN; to log in:\n"
"    lease-user=NAME,lease-secret=ID  with ID of -object secret,id=ID,file=FILE\n"
"    lease-target-user=NAME,lease-target-secret=ID  what the target shows\n"
"    lease-initiator=IQN              this machine's name at the target\n"
"  new=on            primary, first start only: take an empty lease\n"
"  node=NAME         this machine's name in the lease; it stands for the\n"
"                    disk copy it has (default: host name and disk path)\n"
"  disks=shared|own  both use the same disks, the primary alone writing and\n"
"                    reading, or each its own (default: shared if every\n"
"                    writable disk is iscsi:// or another network's, else own)\n"
"  mirror=HOST:PORT  backup with -incoming and own disks: where the primary\n"
"                    copies its disks to (ft-protect)\n"
"  reads=log|own     shared disks: what the guest reads comes to the backup with\n"
"                    the log (default), or it reads itself (raw, cache=none)\n"
"  log=FILE          the session's log is written to FILE too; with replay:\n"
"                    the log to execute, on disks as they were at its start\n"
"  show=on           replay only: the guest's serial output is let out\n"
"  pc=FILE           replay only: write where the guest was at each entry,\n"
"                    for ft-log\n"
"  stop-position=N, stop-instruction=N\n"
"                    replay only: stop the machine there, for a look at it\n"
"  digest-ms=N       primary: compare the machines every N milliseconds\n"
"                    (default 500; 0: never)\n"
"  evidence=DIR      where a backup that has diverged leaves what it knows\n"
"                    (default: /var/tmp/qemu-ft-evidence-UID)\n"
"  spool=SIZE        backup only, without log=: so much of the log is kept in\n"
"                    that place's file system, without a name, to be part of\n"
"                    the evidence (default: 1G; 0: none)\n"
"\n"
"Instruction counting, recording and the holding back of every output come\n"
"with -ft.  The guest begins when both are paired.  Watch and steer with the\n"
"QMP commands query-ft, ft-failover, ft-stop and ft-protect (a new backup for\n"
"a machine that runs alone: start that one with -incoming), the event\n"
"FT_STATE, and 'info ft' on the human monitor.\n"
"\n"
"Machine pc, one vCPU, and these devices; others are refused:\n");
    ft_devices_print();
}

G_NORETURN static void fail(const char *what)
{
    error_report("%s", what);
    error_printf("Try '-ft help'.\n");
    exit(1);
}

/* A replay has no peer and no lease. */
static void parse_replay(QemuOpts *opts)
{
    static const char *const pairs_only[] = {
        "peer", "listen", "lease", "new", "node", "spool", "disks", "mirror",
        "reads",
    };

    for (int i = 0; i < ARRAY_SIZE(pairs_only); i++) {
        if (qemu_opt_find(opts, pairs_only[i])) {
            error_report("replay takes no %s=: it has neither peer nor lease",
                         pairs_only[i]);
            exit(1);
        }
    }
    if (!ft_options.log_path) {
        fail("replay needs log=FILE, a log that -ft primary or backup wrote");
    }
    ft_options.pc_path = g_strdup(qemu_opt_get(opts, "pc"));
    ft_options.show = qemu_opt_get_bool(opts, "show", false);
    ft_options.stop_position = qemu_opt_get_number(opts, "stop-position", 0);
    ft_options.stop_instruction = qemu_opt_get_number(opts,
                                                      "stop-instruction", 0);
    if (ft_options.stop_position && ft_options.stop_instruction) {
        fail("stop-position and stop-instruction: give one of them");
    }
    ft_options.address_text = g_strdup("");
    ft_options.lease_uri = g_strdup("");
}

static void refuse_replay_options(QemuOpts *opts)
{
    static const char *const replay_only[] = {
        "pc", "show", "stop-position", "stop-instruction",
    };

    for (int i = 0; i < ARRAY_SIZE(replay_only); i++) {
        if (qemu_opt_find(opts, replay_only[i])) {
            error_report("%s= is for replay", replay_only[i]);
            exit(1);
        }
    }
}

static void parse_log(QemuOpts *opts)
{
    const char *path = qemu_opt_get(opts, "log");

    if (path && !*path) {
        fail("log= needs the name of a file");
    }
    ft_options.log_path = g_strdup(path);
}

static void parse_role(QemuOpts *opts)
{
    const char *role = qemu_opt_get(opts, "role");
    const char *own, *other, *address;

    if (!role) {
        fail("says neither 'primary' nor 'backup' nor 'replay'");
    } else if (!strcmp(role, "primary")) {
        ft_options.role = FT_ROLE_PRIMARY;
        own = "peer";
        other = "listen";
    } else if (!strcmp(role, "backup")) {
        ft_options.role = FT_ROLE_BACKUP;
        own = "listen";
        other = "peer";
    } else {
        error_report("there is no role '%s', only primary, backup and "
                     "replay", role);
        exit(1);
    }
    address = qemu_opt_get(opts, own);
    if (qemu_opt_get(opts, other) || !address) {
        error_report("%s needs %s=HOST:PORT and takes no %s=", role, own,
                     other);
        exit(1);
    }
    ft_options.address_text = g_strdup(address);
}

static bool is_port(const char *text)
{
    unsigned port;

    return !qemu_strtoui(text, NULL, 10, &port) && port >= 1 && port <= 65535;
}

SocketAddress *ft_options_address(const char *text, Error **errp)
{
    ERRP_GUARD();
    SocketAddress *addr = socket_parse(text, errp);

    if (addr && addr->type != SOCKET_ADDRESS_TYPE_INET) {
        error_setg(errp, "not of the form HOST:PORT");
    } else if (addr && !is_port(addr->u.inet.port)) {
        error_setg(errp, "a port is a number from 1 to 65535");
    }
    if (*errp) {
        qapi_free_SocketAddress(addr);
        error_prepend(errp, "'%s' is no address to use; write HOST:PORT: ",
                      text);
        return NULL;
    }
    return addr;
}

static void parse_node(QemuOpts *opts)
{
    const char *node = qemu_opt_get(opts, "node");

    if (!node) {
        return;
    }
    if (!ft_core_node_valid(node)) {
        error_report("node= has to be 1 to %d printable characters without "
                     "quotation marks", FT_NODE_MAX - 1);
        exit(1);
    }
    ft_options.node = g_strdup(node);
}

static void parse_disks(QemuOpts *opts)
{
    const char *disks = qemu_opt_get(opts, "disks");

    if (!disks) {
        ft_options.disks = FT_DISKS_DEFAULT;
    } else if (!strcmp(disks, "shared")) {
        ft_options.disks = FT_DISKS_SHARED;
    } else if (!strcmp(disks, "own")) {
        ft_options.disks = FT_DISKS_OWN;
    } else {
        error_report("disks=%s: disks are 'shared' by both sides, or each "
                     "side has its 'own'", disks);
        exit(1);
    }
}

static void parse_mirror(QemuOpts *opts)
{
    const char *mirror = qemu_opt_get(opts, "mirror");

    if (mirror) {
        ft_options.mirror = ft_options_address(mirror, &error_fatal);
    }
}

static void parse_reads(QemuOpts *opts)
{
    const char *reads = qemu_opt_get(opts, "reads");

    ft_options.own_reads = !g_strcmp0(reads, "own");
    if (reads && !ft_options.own_reads && strcmp(reads, "log")) {
        error_report("reads=%s: what a shared disk's guest reads comes to the "
                     "backup with the 'log', or by reads of its 'own'", reads);
        exit(1);
    }
}

bool ft_options_set_digest_ms(uint64_t ms, Error **errp)
{
    if (ms && (ms < DIGEST_MS_MIN || ms > DIGEST_MS_MAX)) {
        error_setg(errp, "digests are from %d to %d milliseconds apart, or 0 "
                   "for none, not %" PRIu64, DIGEST_MS_MIN, DIGEST_MS_MAX, ms);
        return false;
    }
    ft_options.digest_ms = ms;
    return true;
}

static void parse_digest(QemuOpts *opts)
{
    Error *err = NULL;

    if (!ft_options_set_digest_ms(
            qemu_opt_get_number(opts, "digest-ms", DIGEST_MS), &err)) {
        error_reportf_err(err, "digest-ms=: ");
        exit(1);
    }
    ft_options.faults = qemu_opt_get_bool(opts, "x-faults", false);
    ft_options.no_fence = !qemu_opt_get_bool(opts, "x-fence", true);
    ft_options.evidence = g_strdup(qemu_opt_get(opts, "evidence"));
}

static void parse_spool(QemuOpts *opts)
{
    if (!ft_options.log_path && ft_options.role == FT_ROLE_BACKUP) {
        ft_options.spool = qemu_opt_get_size(opts, "spool", SPOOL_BYTES);
    } else if (qemu_opt_find(opts, "spool")) {
        fail("spool= is for a backup without log=");
    }
}

static void parse_pair(QemuOpts *opts)
{
    refuse_replay_options(opts);
    parse_role(opts);
    parse_spool(opts);
    ft_options.address = ft_options_address(ft_options.address_text,
                                            &error_fatal);
    ft_options.lease_uri = ft_claim_options_parse(opts);
    parse_node(opts);
    parse_disks(opts);
    parse_mirror(opts);
    parse_reads(opts);
    ft_options.new_vm = qemu_opt_get_bool(opts, "new", false);
    if (ft_options.new_vm && ft_options.role != FT_ROLE_PRIMARY) {
        fail("new=on is for the primary, which takes the lease first");
    }
}

void ft_options_parse(const char *arg)
{
    QemuOpts *opts;

    if (is_help_option(arg)) {
        print_help();
        exit(0);
    }
    if (ft_options.given) {
        fail("given twice");
    }
    if (ft_iscsi_has_password(arg)) {
        loc_set_none();         /* messages would begin with the option */
    }
    opts = qemu_opts_parse_noisily(&ft_opts, arg, true);
    if (!opts) {
        exit(1);
    }
    parse_log(opts);
    parse_digest(opts);
    if (!g_strcmp0(qemu_opt_get(opts, "role"), "replay")) {
        ft_options.replay = true;
        ft_options.role = FT_ROLE_BACKUP;
        parse_replay(opts);
    } else {
        parse_pair(opts);
    }
    ft_options.given = true;
    qemu_opts_del(opts);
}
