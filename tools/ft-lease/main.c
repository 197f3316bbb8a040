/*
 * ft-lease: looks after a lease (docs/man/ft-lease.1).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fence-check.h"
#include "race.h"

enum { USAGE = 2, FAILED = 1 };

static struct {
    gboolean force, dry_run, calm;
    char *node, *user, *password_file, *target_user, *target_password_file;
    char *initiator, *method, *check;
    int claimers, generations, seed;
} opt = { .claimers = 8, .generations = 2000 };

static const GOptionEntry entries[] = {
    { "force", 'f', 0, G_OPTION_ARG_NONE, &opt.force,
      "format, check-...: what is there may go; claim: whoever it names",
      NULL },
    { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &opt.dry_run,
      "say what would be done, and change nothing", NULL },
    { "node", 0, 0, G_OPTION_ARG_STRING, &opt.node,
      "claim: the machine that may run next", "NAME" },
    { "user", 0, 0, G_OPTION_ARG_STRING, &opt.user,
      "log in (CHAP) as this user", "NAME" },
    { "password-file", 0, 0, G_OPTION_ARG_FILENAME, &opt.password_file,
      "its password is this file's first line", "FILE" },
    { "target-user", 0, 0, G_OPTION_ARG_STRING, &opt.target_user,
      "the target has to log in here as this user (mutual CHAP)", "NAME" },
    { "target-password-file", 0, 0, G_OPTION_ARG_FILENAME,
      &opt.target_password_file, "and this file's first line", "FILE" },
    { "initiator", 0, 0, G_OPTION_ARG_STRING, &opt.initiator,
      "this machine's name at the target", "IQN" },
    { "check-target", 0, 0, G_OPTION_ARG_STRING, &opt.check,
      "the same as the command check-target", "URI" },
    { "claimers", 0, 0, G_OPTION_ARG_INT, &opt.claimers,
      "check-target: so many processes race (8)", "N" },
    { "generations", 0, 0, G_OPTION_ARG_INT, &opt.generations,
      "check-target: till so many were won (2000)", "N" },
    { "seed", 0, 0, G_OPTION_ARG_INT, &opt.seed,
      "check-target: of the disturbances (by the clock)", "N" },
    { "calm", 0, 0, G_OPTION_ARG_NONE, &opt.calm,
      "check-target: no claimer is killed or stopped", NULL },
    { "method", 0, 0, G_OPTION_ARG_STRING, &opt.method,
      "check-target: compare or reserve; not atomic: bare, rash",
      "NAME" },
    { NULL }
};

static const char help[] =
"Commands:\n"
"  show URI           who may run the VM, by this lease\n"
"  verify URI         does all a claim does, but changes nothing\n"
"  format URI         empties it, for a new VM (-ft ...,new=on)\n"
"  claim --node NAME URI  lets another machine run it next, by hand\n"
"  check-target URI   races for it: is this storage fit for a lease?\n"
"  check-fence URI    would a shared disk on this LUN's target be fenced?\n"
"\n"
"URI is dir:PATH or iscsi://[USER@]HOST[:PORT]/IQN/LUN.\n"
"\n"
"Exit status: 0 good, 1 no, or not fit; 2 it could not be found out.\n";

G_GNUC_NORETURN static void fail(int status, char *why)
{
    fprintf(stderr, "ft-lease: %s\n", why);
    exit(status);
}

static char *first_line(const char *path)
{
    GError *error = NULL;
    char *text = NULL;

    if (path && !g_file_get_contents(path, &text, NULL, &error)) {
        fail(USAGE, error->message);
    }
    if (text) {
        text[strcspn(text, "\r\n")] = 0;
    }
    return text;
}

static FtLease *open_lease(const char *uri, const FtIscsiLogin *login)
{
    char *why = NULL;
    FtLease *lease = ft_lease_open(uri, login, &why);

    if (!lease) {
        fail(USAGE, why);
    }
    return lease;
}

static void print_record(const FtLease *lease, const FtLeaseRecord *r)
{
    const guint8 *u = r->vm_uuid;

    printf("lease:      %s\n", lease->uri);
    if (!r->generation) {
        printf("empty: a new VM may start on it with -ft ...,new=on\n");
        return;
    }
    printf("vm:         %02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
           "%02x%02x%02x%02x%02x%02x\n", u[0], u[1], u[2], u[3], u[4], u[5],
           u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
    printf("generation: %" G_GUINT64_FORMAT "\n", r->generation);
    printf("owner:      %s\n", r->owner);
    printf("partner:    %s\n", *r->partner ? r->partner : "none");
    printf("disks:      %s\n", r->disks == FT_LEASE_DISKS_SHARED ? "shared"
           : "own: each machine has its copy");
    printf("nonce:      %016" G_GINT64_MODIFIER "x\n", r->nonce);
}

static int show(FtLease *lease)
{
    FtLeaseRecord now;
    char *why;

    if (!ft_lease_read(lease, &now, &why)) {
        fail(FAILED, why);
    }
    print_record(lease, &now);
    return 0;
}

static int verify(FtLease *lease)
{
    FtLeaseRecord now;
    char *why;

    if (!ft_lease_verify(lease, &now, &why)) {
        fail(FAILED, why);
    }
    print_record(lease, &now);
    printf("method:     %s\n", ft_race_method_text(
               lease->uri, ft_iscsi_is_uri(lease->uri)
               ? ft_lease_iscsi_method(lease) : FT_LEASE_METHOD_ANY));
    printf("good: it was read, and a change that changes nothing was made\n");
    return 0;
}

static int format(FtLease *lease)
{
    char *why;

    if (!ft_lease_format(lease, opt.force, opt.dry_run, &why)) {
        fail(FAILED, why);
    }
    printf("%s %s\n", lease->uri, opt.dry_run
           ? "would be emptied; nothing was changed"
           : "is empty: start the VM with -ft ...,new=on");
    return 0;
}

/* Who of the record may be let on; the machine that starts finds the rest. */
static void check_claim(const FtLeaseRecord *now)
{
    if (!now->generation) {
        fail(FAILED, "the lease is empty: start the VM with -ft ...,new=on");
    }
    if (strlen(opt.node) >= FT_NODE_MAX || !*opt.node) {
        fail(USAGE, "--node: a name of 1 to 127 bytes");
    }
    if (strcmp(opt.node, now->owner) && strcmp(opt.node, now->partner) &&
        !opt.force) {
        fail(FAILED, g_strdup_printf(
                 "the record names \"%s\" and \"%s\", not \"%s\"; --force "
                 "names it all the same: its disk may be out of date then",
                 now->owner, now->partner, opt.node));
    }
}

static int claim(FtLease *lease)
{
    FtLeaseRecord now, to;
    FtLeaseResult result;
    char *why;

    if (!opt.node) {
        fail(USAGE, "claim needs --node NAME");
    }
    if (!ft_lease_read(lease, &now, &why)) {
        fail(FAILED, why);
    }
    check_claim(&now);
    to = now;
    to.generation++;
    to.nonce = (guint64)g_random_int() << 32 | g_random_int();
    g_strlcpy(to.owner, opt.node, sizeof(to.owner));
    to.partner[0] = 0;
    if (opt.dry_run) {
        print_record(lease, &to);
        printf("would be the record; nothing was changed\n");
        return 0;
    }
    do {
        FtLeaseRecord from = now;

        result = ft_lease_step(lease, &from, &to, &now, &why);
        if (result == FT_LEASE_UNKNOWN) {
            fprintf(stderr, "ft-lease: %s\n", why);
            now = from;
        }
    } while (result == FT_LEASE_UNKNOWN);
    print_record(lease, &now);
    if (result == FT_LEASE_LOST) {
        fail(FAILED, "somebody else changed the lease first, see above");
    }
    printf("a machine that ran till now stops when it asks the lease next\n");
    return 0;
}

static FtLeaseMethod method(const char *uri)
{
    static const char *const names[] = { "any", "compare", "reserve", "bare",
                                        "rash" };

    if (!opt.method) {
        return FT_LEASE_METHOD_ANY;
    }
    if (!ft_iscsi_is_uri(uri)) {
        fail(USAGE, "--method is for iscsi://...");
    }
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (!strcmp(names[i], opt.method)) {
            return i;
        }
    }
    fail(USAGE, "--method is compare, reserve, bare or rash");
}

static int check_target(const char *uri, const FtIscsiLogin *login)
{
    FtRace race = {
        .uri = uri,
        .login = login,
        .claimers = opt.claimers,
        .generations = opt.generations,
        .seed = opt.seed ?: (int)(time(NULL) & 0x7fffffff),
        .calm = opt.calm,
        .force = opt.force,
        .method = method(uri),
    };
    int status;

    if (race.claimers < 2 || race.claimers > 64 || race.generations < 1) {
        fail(USAGE, "--claimers is 2 to 64, --generations at least 1");
    }
    ft_lease_close(open_lease(uri, login));
    if (opt.dry_run) {
        printf("%d processes would race for %d generations; the lease has to "
               "be empty, and is so afterwards\n", race.claimers,
               race.generations);
        return 0;
    }
    status = ft_race_run(&race);
    if (status == FT_RACE_FIT && ft_iscsi_is_uri(uri)) {
        ft_fence_check(uri, login, TRUE);       /* its storage is empty */
    }
    return status;
}

static int check_fence(const char *uri, const FtIscsiLogin *login)
{
    if (!ft_iscsi_is_uri(uri)) {
        fail(USAGE, "check-fence is for iscsi://...; nothing else has a "
             "fence");
    }
    if (opt.dry_run) {
        printf("two sessions would reserve it in turn, and write one block as "
               "it is\n");
        return 0;
    }
    return ft_fence_check(uri, login, opt.force);
}

static int run(const char *command, const char *uri)
{
    static const struct {
        const char *name;
        int (*run)(FtLease *lease);
    } commands[] = {
        { "show", show }, { "verify", verify }, { "format", format },
        { "claim", claim },
    };
    FtIscsiLogin login = {
        .user = opt.user,
        .password = first_line(opt.password_file),
        .target_user = opt.target_user,
        .target_password = first_line(opt.target_password_file),
        .initiator = opt.initiator,
    };
    int status = -1;

    if (ft_iscsi_has_password(uri)) {
        fprintf(stderr, "ft-lease: everybody on this host can read a password "
                "on the command line; use --password-file\n");
    }
    if (!strcmp(command, "check-target")) {
        return check_target(uri, &login);
    }
    if (!strcmp(command, "check-fence")) {
        return check_fence(uri, &login);
    }
    for (guint i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (!strcmp(command, commands[i].name)) {
            FtLease *lease = open_lease(uri, &login);

            status = commands[i].run(lease);
            ft_lease_close(lease);
        }
    }
    if (status < 0) {
        fail(USAGE, g_strdup_printf("there is no command '%s'; see "
                                    "ft-lease --help", command));
    }
    return status;
}

int main(int argc, char **argv)
{
    GOptionContext *context = g_option_context_new("COMMAND URI");
    GError *error = NULL;

    g_option_context_set_summary(context, "Looks after the lease of a "
                                 "fault-tolerant virtual machine.");
    g_option_context_set_description(context, help);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fail(USAGE, error->message);
    }
    g_option_context_free(context);
    if (opt.check && argc == 1) {
        return run("check-target", opt.check);
    }
    if (argc != 3 || opt.check) {
        fail(USAGE, "needs a command and a URI; see ft-lease --help");
    }
    return run(argv[1], argv[2]);
}
