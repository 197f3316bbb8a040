/*
 * ft-log sum: how much of what, when, and from where in the guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "ft-log.h"

/* The session is shown in so many parts of equal time. */
#define PARTS 10
#define TOP 10
#define SECOND_NS 1000000000LL

typedef struct Count {
    uint64_t entries, bytes;
} Count;

/* What a second of the session had. */
typedef struct Second {
    int64_t number;
    Count all, input;
    uint64_t instructions;
} Second;

typedef struct Cause {
    char *name;
    Count all;
    uint64_t kinds[FT_ENTRY_KIND__MAX];
} Cause;

typedef struct Sum {
    Count all, kinds[FT_ENTRY_KIND__MAX];
    GArray *seconds;
    GHashTable *causes;         /* name -> Cause */
    int64_t last_ns;
} Sum;

/* What came from outside, rather than from this machine's own working. */
static bool is_input(FtEntryKind kind)
{
    return kind == FT_ENTRY_INPUT || kind == FT_ENTRY_CHAR ||
        kind == FT_ENTRY_NET || kind == FT_ENTRY_RANDOM;
}

static void count(Count *c, const FtLogEntry *entry)
{
    c->entries++;
    c->bytes += entry->size;
}

static void count_second(Sum *sum, const FtLogEntry *entry)
{
    int64_t number = entry->elapsed_ns / SECOND_NS;
    GArray *seconds = sum->seconds;
    Second *second = seconds->len
        ? &g_array_index(seconds, Second, seconds->len - 1) : NULL;

    if (!second || number > second->number) {
        Second fresh = { .number = number };

        g_array_append_val(seconds, fresh);
        second = &g_array_index(seconds, Second, seconds->len - 1);
    }
    count(&second->all, entry);
    if (is_input(entry->kind)) {
        count(&second->input, entry);
    }
    second->instructions += ft_entry_instructions(entry->data);
}

static void count_cause(Sum *sum, const FtLogEntry *entry,
                        const FtLogOptions *options)
{
    g_autofree char *name = NULL;
    uint64_t address;
    Cause *cause;

    if (entry->kind == FT_ENTRY_INSTRUCTIONS ||
        !ft_log_pc_find(options->pc, entry->position, &address)) {
        return;
    }
    name = ft_log_symbols_function(options->symbols, address);
    cause = g_hash_table_lookup(sum->causes, name);
    if (!cause) {
        cause = g_new0(Cause, 1);
        cause->name = g_steal_pointer(&name);
        g_hash_table_insert(sum->causes, cause->name, cause);
    }
    count(&cause->all, entry);
    cause->kinds[entry->kind]++;
}

static void count_entry(Sum *sum, const FtLogEntry *entry,
                        const FtLogOptions *options)
{
    sum->last_ns = entry->elapsed_ns;
    count(&sum->all, entry);
    count(&sum->kinds[entry->kind], entry);
    count_second(sum, entry);
    count_cause(sum, entry, options);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * part / whole : 0;
}

static void print_kinds(const Sum *sum, double seconds)
{
    Count input = { 0 };

    printf("\n%-13s %10s %6s %12s %6s %10s\n", "kind", "entries", "", "bytes",
           "", "entries/s");
    for (int i = 0; i < FT_ENTRY_KIND__MAX; i++) {
        const Count *c = &sum->kinds[i];

        if (c->entries) {
            printf("%-13s %10" PRIu64 " %5.1f%% %12" PRIu64 " %5.1f%% %10.1f\n",
                   ft_entry_kind_name(i), c->entries,
                   percent(c->entries, sum->all.entries), c->bytes,
                   percent(c->bytes, sum->all.bytes),
                   seconds ? c->entries / seconds : 0);
        }
        if (is_input(i)) {
            input.entries += c->entries;
            input.bytes += c->bytes;
        }
    }
    printf("%-13s %10" PRIu64 "        %12" PRIu64 "        %10.1f\n", "all",
           sum->all.entries, sum->all.bytes,
           seconds ? sum->all.entries / seconds : 0);
    printf("input (char, input, net, random): %" PRIu64 " entries, %" PRIu64
           " bytes (%.1f%%)\n", input.entries, input.bytes,
           percent(input.bytes, sum->all.bytes));
}

static void print_times(const Sum *sum)
{
    int64_t whole = sum->last_ns / SECOND_NS + 1;
    int64_t step = (whole + PARTS - 1) / PARTS;
    guint at = 0;

    printf("\n%-15s %12s %12s %12s %14s\n", "seconds", "bytes/s", "input/s",
           "entries/s", "instructions/s");
    for (int64_t from = 0; from < whole; from += step) {
        int64_t n = MIN(step, whole - from);
        Second all = { 0 };

        for (; at < sum->seconds->len; at++) {
            const Second *s = &g_array_index(sum->seconds, Second, at);

            if (s->number >= from + n) {
                break;
            }
            all.all.bytes += s->all.bytes;
            all.all.entries += s->all.entries;
            all.input.bytes += s->input.bytes;
            all.instructions += s->instructions;
        }
        printf("%6" PRId64 " - %-6" PRId64 " %12" PRIu64 " %12" PRIu64 " %12"
               PRIu64 " %13.1fM\n", from, from + n, all.all.bytes / n,
               all.input.bytes / n, all.all.entries / n,
               all.instructions / 1e6 / n);
    }
}

static gint compare_causes(gconstpointer a, gconstpointer b)
{
    const Cause *x = *(Cause *const *)a, *y = *(Cause *const *)b;

    return x->all.entries < y->all.entries ? 1
        : x->all.entries > y->all.entries ? -1 : strcmp(x->name, y->name);
}

static const char *main_kind(const Cause *cause)
{
    int best = 0;

    for (int i = 1; i < FT_ENTRY_KIND__MAX; i++) {
        if (cause->kinds[i] > cause->kinds[best]) {
            best = i;
        }
    }
    return ft_entry_kind_name(best);
}

static void print_causes(const Sum *sum, const FtLogOptions *options)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, sum->causes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_ptr_array_add(list, value);
    }
    g_ptr_array_sort(list, compare_causes);
    printf("\n%-40s %10s %6s %12s  %s\n", options->symbols
           ? "guest's function" : "guest's address", "entries", "", "bytes",
           "mostly");
    for (guint i = 0; i < MIN(list->len, TOP); i++) {
        const Cause *cause = list->pdata[i];

        printf("%-40s %10" PRIu64 " %5.1f%% %12" PRIu64 "  %s\n", cause->name,
               cause->all.entries,
               percent(cause->all.entries, sum->all.entries -
                       sum->kinds[FT_ENTRY_INSTRUCTIONS].entries),
               cause->all.bytes, main_kind(cause));
    }
    if (!list->len) {
        printf("the file of program counters is of another log\n");
    }
}

static void cause_free(gpointer opaque)
{
    Cause *cause = opaque;

    g_free(cause->name);
    g_free(cause);
}

int ft_log_sum(const char *path, const FtLogOptions *options)
{
    g_autoptr(FtLogWalk) walk = ft_log_open(path);
    g_autoptr(GArray) seconds = g_array_new(false, false, sizeof(Second));
    g_autoptr(GHashTable) causes = g_hash_table_new_full(
        g_str_hash, g_str_equal, NULL, cause_free);
    Sum sum = { .seconds = seconds, .causes = causes };
    FtLogRead result;
    FtLogEntry entry;
    double took;

    if (!walk) {
        return FT_LOG_TROUBLE;
    }
    while ((result = ft_log_walk_next(walk, &entry)) == FT_LOG_READ_FRAME) {
        if (ft_log_is_chosen(&entry, options)) {
            count_entry(&sum, &entry, options);
        }
    }
    took = sum.last_ns / 1e9;
    ft_log_print_header(path, ft_log_walk_reader(walk));
    printf("%" PRIu64 " entries, %" PRIu64 " bytes, %" PRIu64
           " instructions", sum.all.entries, sum.all.bytes,
           ft_log_walk_icount(walk));
    if (took > 0) {
        printf(", %.1f s by the primary's clock, %.0f bytes/s", took,
               sum.all.bytes / took);
    }
    printf("\n");
    print_kinds(&sum, took);
    if (took > 0) {
        print_times(&sum);
    }
    if (options->pc) {
        print_causes(&sum, options);
    }
    printf("\n");
    return ft_log_ended(path, walk, result);
}
