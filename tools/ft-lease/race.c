/*
 * Several processes race for a lease: does its storage let one win?
 *
 * Each claimer reads the record and tries to be the next owner, again and
 * again.  Meanwhile claimers are killed, and stopped for longer than others
 * wait for them: what a machine that dies or hangs does to a real lease.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "race.h"
#include "referee.h"

enum {
    STUCK_S = 60,               /* without a new generation */
    ALONE_STEPS = 5,
    TRIES = 30,                 /* while the target is away */
    DISTURB_MIN_MS = 100,
    DISTURB_MAX_MS = 400,
    STOP_MIN_MS = 20,
    STOP_MAX_MS = 1600,         /* longer than a reservation is respected */
    UNKNOWN_PAUSE_US = 20000,
    WINNER_PAUSE_US = 4000,     /* so that others win too */
};

typedef struct Claimer {
    pid_t pid;                  /* 0: it is done */
    gint64 resume_us;           /* it is stopped until then; 0: it runs */
    gboolean heard;             /* it has told something since it began */
} Claimer;

typedef struct Race {
    const FtRace *options;
    FtReferee *referee;
    Claimer *claimers;
    GRand *random;
    int out;                    /* of the pipe, for claimers */
    int in;
    guint kills, stops;
    gint64 disturb_us;          /* when next */
    gboolean broken;            /* a claimer could not even start */
} Race;

const char *ft_race_method_text(const char *uri, FtLeaseMethod method)
{
    static const char *const texts[] = {
        [FT_LEASE_METHOD_ANY] = "none was needed",
        [FT_LEASE_METHOD_COMPARE] = "COMPARE AND WRITE",
        [FT_LEASE_METHOD_RESERVE] = "read and write under a persistent "
                                    "reservation",
        [FT_LEASE_METHOD_BARE] = "read and write with nothing around them",
        [FT_LEASE_METHOD_RASH] = "read and write under a persistent "
                                 "reservation that nobody waits for",
    };

    return ft_iscsi_is_uri(uri) ? texts[method] : "link(2) of a file";
}

/* --- one claimer --------------------------------------------------------- */

typedef struct Self {
    const FtRace *options;
    FtLease *lease;
    int out;
    guint number;
} Self;

static FtLease *open_lease(const FtRace *options, char **why)
{
    FtLease *lease = ft_lease_open(options->uri, options->login, why);

    if (lease && options->method != FT_LEASE_METHOD_ANY) {
        ft_lease_iscsi_force(lease, options->method);
    }
    return lease;
}

static void tell(const Self *self, FtReportKind kind,
                 const FtLeaseRecord *record, gint64 took_us, const char *text)
{
    FtReport report = {
        .claimer = self->number,
        .kind = kind,
        .generation = record ? record->generation : 0,
        .nonce = record ? record->nonce : 0,
        .took_us = took_us,
    };

    if (ft_iscsi_is_uri(self->options->uri)) {
        report.method = ft_lease_iscsi_method(self->lease);
    }
    g_strlcpy(report.text, text ?: "", sizeof(report.text));
    if (write(self->out, &report, sizeof(report)) != sizeof(report)) {
        _exit(FT_RACE_FAILED);
    }
}

static void tell_unknown(const Self *self, char *why)
{
    tell(self, FT_REPORT_UNKNOWN, NULL, 0, why);
    g_free(why);
    g_usleep(UNKNOWN_PAUSE_US);
}

static void next_record(const FtLeaseRecord *now, guint number,
                        FtLeaseRecord *to)
{
    *to = *now;
    to->generation++;
    to->disks = FT_LEASE_DISKS_SHARED;
    to->nonce = (guint64)g_random_int() << 32 | g_random_int();
    g_snprintf(to->owner, sizeof(to->owner), "claimer-%u", number);
    to->partner[0] = 0;
}

static void claim(const Self *self, FtLeaseRecord *now)
{
    FtLeaseRecord from = *now, to;
    FtLeaseResult result;
    gint64 start = g_get_monotonic_time();
    char *why;

    next_record(now, self->number, &to);
    do {
        result = ft_lease_step(self->lease, &from, &to, now, &why);
        if (result == FT_LEASE_UNKNOWN) {
            tell_unknown(self, why);
        }
    } while (result == FT_LEASE_UNKNOWN);
    tell(self, result == FT_LEASE_WON ? FT_REPORT_WON : FT_REPORT_SEEN, now,
         g_get_monotonic_time() - start, NULL);
    if (result == FT_LEASE_WON) {
        g_usleep(g_random_int_range(0, WINNER_PAUSE_US));
    }
}

G_GNUC_NORETURN static void claimer_run(Self *self)
{
    FtLeaseRecord now;
    char *why = NULL;

    guint32 seed;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Or nonces would be those of the others that were forked like it. */
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
        _exit(FT_RACE_FAILED);
    }
    g_random_set_seed(seed);
    self->lease = open_lease(self->options, &why);
    if (!self->lease) {
        _exit(FT_RACE_FAILED);
    }
    while (!ft_lease_read(self->lease, &now, &why)) {
        tell_unknown(self, why);
    }
    tell(self, FT_REPORT_SEEN, &now, 0, NULL);
    while (now.generation < (guint64)self->options->generations) {
        claim(self, &now);
    }
    ft_lease_close(self->lease);
    _exit(0);
}

static void claimer_start(Race *race, guint number)
{
    Self self = {
        .options = race->options,
        .out = race->out,
        .number = number,
    };
    pid_t pid = fork();

    if (pid == 0) {
        close(race->in);
        claimer_run(&self);
    }
    if (pid < 0) {
        perror("ft-lease: can't start a claimer");
        race->broken = TRUE;
        pid = 0;
    }
    race->claimers[number].pid = pid;
    race->claimers[number].resume_us = 0;
    race->claimers[number].heard = FALSE;
}

/* --- what happens to claimers -------------------------------------------- */

static void resume(Race *race, gint64 now)
{
    for (int i = 0; i < race->options->claimers; i++) {
        Claimer *c = &race->claimers[i];

        if (c->pid && c->resume_us && now >= c->resume_us) {
            kill(c->pid, SIGCONT);
            c->resume_us = 0;
        }
    }
}

/* True: one is still logging in, which takes a second on some targets. */
static gboolean newcomers(const Race *race)
{
    for (int i = 0; i < race->options->claimers; i++) {
        if (race->claimers[i].pid && !race->claimers[i].heard) {
            return TRUE;
        }
    }
    return FALSE;
}

static void disturb(Race *race)
{
    gint64 now = g_get_monotonic_time();
    Claimer *c = &race->claimers[g_rand_int_range(race->random, 0,
                                                  race->options->claimers)];

    resume(race, now);
    if (race->options->calm || now < race->disturb_us) {
        return;
    }
    race->disturb_us = now + 1000 * g_rand_int_range(
        race->random, DISTURB_MIN_MS, DISTURB_MAX_MS);
    if (!c->pid || c->resume_us || newcomers(race)) {
        return;
    }
    if (g_rand_boolean(race->random)) {
        kill(c->pid, SIGKILL);
        race->kills++;
    } else {
        kill(c->pid, SIGSTOP);
        c->resume_us = now + 1000 * g_rand_int_range(race->random, STOP_MIN_MS,
                                                     STOP_MAX_MS);
        race->stops++;
    }
}

/* Buries the dead; those that were killed get a successor. */
static guint reap(Race *race)
{
    guint alive = 0;
    int status;

    for (int i = 0; i < race->options->claimers; i++) {
        Claimer *c = &race->claimers[i];

        if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid) {
            c->pid = 0;
            if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
                claimer_start(race, i);
            } else if (status) {
                race->broken = TRUE;
            }
        }
        alive += c->pid != 0;
    }
    return alive;
}

static void end_all(Race *race)
{
    for (int i = 0; i < race->options->claimers; i++) {
        if (race->claimers[i].pid) {
            kill(race->claimers[i].pid, SIGKILL);
            waitpid(race->claimers[i].pid, NULL, 0);
            race->claimers[i].pid = 0;
        }
    }
}

/* --- the race ------------------------------------------------------------ */

/* True: something came. */
static gboolean take_report(Race *race, int wait_ms)
{
    struct pollfd pfd = { .fd = race->in, .events = POLLIN };
    FtReport report;

    if (poll(&pfd, 1, wait_ms) <= 0 ||
        read(race->in, &report, sizeof(report)) != sizeof(report)) {
        return FALSE;
    }
    race->claimers[report.claimer].heard = TRUE;
    ft_referee_take(race->referee, &report);
    return TRUE;
}

/* NULL: every generation was won; else what stopped it, static. */
static const char *run(Race *race)
{
    gint64 moved_us = g_get_monotonic_time();
    guint64 newest = 0;

    for (;;) {
        gboolean came = take_report(race, 5);

        if (ft_referee_fault(race->referee)) {
            return "two claimers won one generation";
        }
        if (race->broken) {
            return "a claimer could not run";
        }
        if (ft_referee_generation(race->referee) != newest) {
            newest = ft_referee_generation(race->referee);
            moved_us = g_get_monotonic_time();
        } else if (g_get_monotonic_time() - moved_us > STUCK_S * G_USEC_PER_SEC) {
            return "nobody could win the next generation";
        }
        disturb(race);
        if (!reap(race) && !came) {
            return NULL;
        }
    }
}

static gint compare_double(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* A step with nobody else there, with a login: what a failover pays. */
static gboolean step_alone(const FtRace *options, FtLeaseRecord *now,
                           char **why)
{
    FtLeaseResult result = FT_LEASE_UNKNOWN;
    FtLeaseRecord from = *now, to;

    next_record(&from, 0, &to);
    for (int i = 0; i < TRIES && result == FT_LEASE_UNKNOWN; i++) {
        FtLease *lease = open_lease(options, why);

        g_clear_pointer(why, g_free);
        result = ft_lease_step(lease, &from, &to, now, why);
        ft_lease_close(lease);
    }
    if (result == FT_LEASE_LOST) {
        *why = g_strdup("somebody else uses this lease");
    }
    return result == FT_LEASE_WON;
}

static gboolean measure_alone(const FtRace *options, double *median_ms,
                              char **why)
{
    double took[ALONE_STEPS];
    FtLeaseRecord now = { 0 };

    for (int i = 0; i < ALONE_STEPS; i++) {
        gint64 start = g_get_monotonic_time();

        if (!step_alone(options, &now, why)) {
            return FALSE;
        }
        took[i] = (g_get_monotonic_time() - start) / 1e3;
    }
    qsort(took, ALONE_STEPS, sizeof(took[0]), compare_double);
    *median_ms = took[ALONE_STEPS / 2];
    return TRUE;
}

static gboolean empty(const FtRace *options, gboolean force, char **why)
{
    gboolean ok = FALSE;

    for (int i = 0; i < (force ? TRIES : 1) && !ok; i++) {
        FtLease *lease;

        g_clear_pointer(why, g_free);
        lease = open_lease(options, why);
        ok = ft_lease_format(lease, force, FALSE, why);
        ft_lease_close(lease);
    }
    return ok;
}

static int verdict(Race *race, const char *stopped, double seconds)
{
    FtReferee *r = race->referee;
    guint64 last = ft_referee_generation(r);
    const char *fault = ft_referee_fault(r);

    printf("claimers:    %d processes; killed %u times, stopped %u times\n",
           race->options->claimers, race->kills, race->stops);
    printf("generations: %" G_GUINT64_FORMAT " in %.1f s (%.0f a second)\n",
           last, seconds, last / seconds);
    printf("a claim:     median %.1f ms, 99 of 100 under %.1f ms, in this "
           "crowd\n", ft_referee_took_ms(r, 0.5), ft_referee_took_ms(r, 0.99));
    printf("unknown:     %u answers%s%s\n", ft_referee_unknown(r),
           ft_referee_unknown(r) ? "; the last: " : "", ft_referee_reason(r));
    printf("seed:        %d\n\n", race->options->seed);
    if (fault) {
        printf("NOT FIT FOR A LEASE: the compare-and-set of this storage is "
               "not atomic.\n%s.\nTwo machines could run one VM.\n", fault);
        return FT_RACE_UNFIT;
    }
    if (race->broken) {
        printf("NOT FOUND OUT: %s.\n", stopped);
        return FT_RACE_FAILED;
    }
    if (stopped || ft_referee_missing(r, last)) {
        printf("NOT FIT FOR A LEASE: %s (after generation %" G_GUINT64_FORMAT
               ", for %d s).\n", stopped ?: "a generation was passed over",
               last, STUCK_S);
        return FT_RACE_UNFIT;
    }
    printf("Fit for a lease: each generation was won once. (A test can show "
           "that a compare-and-set\nis not atomic; that it is, only that it "
           "was, %" G_GUINT64_FORMAT " times.)\n", last);
    return FT_RACE_FIT;
}

static int race_all(Race *race)
{
    const FtRace *options = race->options;
    gint64 start = g_get_monotonic_time();
    const char *stopped;
    int status;

    for (int i = 0; i < options->claimers; i++) {
        claimer_start(race, i);
    }
    stopped = run(race);
    end_all(race);
    while (take_report(race, 0)) {
        continue;
    }
    printf("method:      %s\n", ft_race_method_text(
               options->uri, ft_referee_method(race->referee)));
    status = verdict(race, stopped,
                     (g_get_monotonic_time() - start) / 1e6);
    return status;
}

int ft_race_run(const FtRace *options)
{
    Race race = { .options = options };
    char *why = NULL, *shown = ft_iscsi_mask(options->uri);
    double alone_ms;
    int ends[2], status = FT_RACE_FAILED;

    printf("lease:       %s\n", shown);
    g_free(shown);
    fflush(stdout);
    if (empty(options, options->force, &why) &&
        measure_alone(options, &alone_ms, &why) &&
        empty(options, TRUE, &why)) {
        printf("alone:       a claim takes %.1f ms, its login included\n",
               alone_ms);
        fflush(stdout);
        if (pipe(ends)) {
            perror("ft-lease");
            return FT_RACE_FAILED;
        }
        race.in = ends[0];
        race.out = ends[1];
        race.referee = ft_referee_new(options->claimers);
        race.claimers = g_new0(Claimer, options->claimers);
        race.random = g_rand_new_with_seed(options->seed);
        status = race_all(&race);
        g_rand_free(race.random);
        g_free(race.claimers);
        ft_referee_free(race.referee);
        if (!empty(options, TRUE, &why)) {
            fprintf(stderr, "ft-lease: can't empty it again: %s\n", why);
        }
    } else {
        fprintf(stderr, "ft-lease: %s\n", why);
    }
    g_free(why);
    return status;
}
