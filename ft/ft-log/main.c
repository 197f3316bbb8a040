/*
 * ft-log: reads the log files of -ft ...,log=FILE.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <glib.h>
#include "qemu/cutils.h"
#include "ft-log.h"

#define CONTEXT_DEFAULT 10
#define CONTEXT_MAX 1000000

typedef enum Command {
    PRINT, SUM, VERIFY, COMPARE, FOLLOW, AROUND, COMMANDS
} Command;

/* Which command takes what. */
enum {
    TAKES_CHOICE = 1,           /* --kind, --from ... */
    TAKES_LAST = 2,
    TAKES_CONTEXT = 4,
    TAKES_PC = 8,
    TAKES_INSTRUCTION = 16,
};

static const struct {
    const char *name, *arguments, *summary;
    int files, takes;
} commands[COMMANDS] = {
    [PRINT] = { "print", "FILE", "Prints the entries, one a line.", 1,
                TAKES_CHOICE | TAKES_LAST | TAKES_PC },
    [SUM] = { "sum", "FILE", "Sums up: kinds, rates over time, and with "
              "--pc which code of the guest they come from.", 1,
              TAKES_CHOICE | TAKES_PC },
    [VERIFY] = { "verify", "FILE", "Checks every frame and every entry, and "
                 "says where the first damage is.", 1, 0 },
    [COMPARE] = { "compare", "FILE FILE", "Finds the first entry in which two "
                  "logs differ.", 2, TAKES_CONTEXT },
    [FOLLOW] = { "follow", "FILE", "Prints a log while it is written, up to "
                 "its end.", 1, TAKES_CHOICE },
    [AROUND] = { "around", "FILE POSITION", "Prints the entries around a log "
                 "position or instruction.", 2,
                 TAKES_CHOICE | TAKES_CONTEXT | TAKES_PC | TAKES_INSTRUCTION },
};

static struct {
    char *kinds;
    gint64 from, to, from_icount, to_icount, last;
    gint context;
    gboolean by_icount;
    char *pc, *symbols, *slide;
} args = { .to = -1, .to_icount = -1, .context = CONTEXT_DEFAULT };

static const GOptionEntry choice_options[] = {
    { "kind", 'k', 0, G_OPTION_ARG_STRING, &args.kinds,
      "only these kinds of entries; 'help' lists them", "KIND[,KIND...]" },
    { "from", 0, 0, G_OPTION_ARG_INT64, &args.from,
      "only from this log position on", "POSITION" },
    { "to", 0, 0, G_OPTION_ARG_INT64, &args.to,
      "only before this log position", "POSITION" },
    { "from-instruction", 0, 0, G_OPTION_ARG_INT64, &args.from_icount,
      "only from this instruction on", "COUNT" },
    { "to-instruction", 0, 0, G_OPTION_ARG_INT64, &args.to_icount,
      "only before this instruction", "COUNT" },
    { NULL }
};

static const GOptionEntry last_options[] = {
    { "last", 'n', 0, G_OPTION_ARG_INT64, &args.last,
      "only the last of those", "COUNT" },
    { NULL }
};

static const GOptionEntry context_options[] = {
    { "context", 'c', 0, G_OPTION_ARG_INT, &args.context,
      "entries before and after (default: 10)", "COUNT" },
    { NULL }
};

static const GOptionEntry instruction_options[] = {
    { "instruction", 'i', 0, G_OPTION_ARG_NONE, &args.by_icount,
      "POSITION is an instruction count", NULL },
    { NULL }
};

static const GOptionEntry pc_options[] = {
    { "pc", 0, 0, G_OPTION_ARG_FILENAME, &args.pc,
      "the guest's program counters, written by -ft replay,log=...,pc=FILE",
      "FILE" },
    { "symbols", 0, 0, G_OPTION_ARG_FILENAME, &args.symbols,
      "names of addresses: vmlinux, System.map or a copy of /proc/kallsyms",
      "FILE" },
    { "slide", 0, 0, G_OPTION_ARG_STRING, &args.slide,
      "what the guest's kernel is moved by (KASLR)", "OFFSET" },
    { NULL }
};

static const struct {
    int takes;
    const GOptionEntry *entries;
} option_groups[] = {
    { TAKES_CHOICE, choice_options },
    { TAKES_LAST, last_options },
    { TAKES_CONTEXT, context_options },
    { TAKES_INSTRUCTION, instruction_options },
    { TAKES_PC, pc_options },
};

static G_NORETURN void G_GNUC_PRINTF(1, 2) wrong(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "ft-log: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\nTry 'ft-log --help'.\n");
    va_end(ap);
    exit(FT_LOG_TROUBLE);
}

static void print_kinds(FILE *f)
{
    for (int kind = 0; kind < FT_ENTRY_KIND__MAX; kind++) {
        fprintf(f, "%s%s", kind ? ", " : "", ft_entry_kind_name(kind));
    }
    fprintf(f, "\n");
}

static void print_usage(void)
{
    printf("Reads the log files that QEMU writes with -ft ...,log=FILE.\n\n");
    for (int i = 0; i < COMMANDS; i++) {
        printf("  ft-log %-7s %-14s %s\n", commands[i].name,
               commands[i].arguments, commands[i].summary);
    }
    printf("\n'ft-log COMMAND --help' lists a command's options.\n"
           "Exit status: 0 good, or equal; 1 damaged, without an end, or "
           "different;\n2 wrong options, or a file that is no log.\n");
}

static uint32_t parse_kinds(void)
{
    g_auto(GStrv) names = NULL;
    uint32_t kinds = 0;

    if (!args.kinds) {
        return 0;
    }
    if (!strcmp(args.kinds, "help")) {
        print_kinds(stdout);
        exit(FT_LOG_GOOD);
    }
    names = g_strsplit(args.kinds, ",", -1);
    for (char **name = names; *name; name++) {
        int kind = 0;

        while (kind < FT_ENTRY_KIND__MAX &&
               strcmp(*name, ft_entry_kind_name(kind))) {
            kind++;
        }
        if (kind == FT_ENTRY_KIND__MAX) {
            fprintf(stderr, "ft-log: there is no kind '%s', only ", *name);
            print_kinds(stderr);
            exit(FT_LOG_TROUBLE);
        }
        kinds |= 1u << kind;
    }
    return kinds;
}

static void load_symbols(FtLogOptions *options)
{
    char *why = NULL;
    uint64_t slide = 0;

    if (args.slide && qemu_strtou64(args.slide, NULL, 0, &slide)) {
        wrong("'%s' is no number to move addresses by", args.slide);
    }
    if (args.pc) {
        options->pc = ft_log_pc_load(args.pc, &why);
    }
    if (!why && args.symbols) {
        options->symbols = ft_log_symbols_load(args.symbols, slide, &why);
    }
    if (why) {
        wrong("%s", why);
    }
    if (options->symbols && !options->pc) {
        wrong("--symbols names the addresses of --pc FILE; write that with "
              "-ft replay,log=LOG,pc=FILE");
    }
}

static FtLogOptions make_options(void)
{
    FtLogOptions options = {
        .from = args.from,
        .to = args.to,
        .from_icount = args.from_icount,
        .to_icount = args.to_icount,
        .last = args.last,
        .context = args.context,
        .by_icount = args.by_icount,
        .kinds = parse_kinds(),
    };

    if (args.from < 0 || args.from_icount < 0 || args.last < 0 ||
        args.to < -1 || args.to_icount < -1) {
        wrong("a position or a count is negative");
    }
    if (args.context < 0 || args.context > CONTEXT_MAX) {
        wrong("--context is a number from 0 to %d", CONTEXT_MAX);
    }
    load_symbols(&options);
    return options;
}

static int run(Command command, char **files)
{
    FtLogOptions options = make_options();
    uint64_t where;

    switch (command) {
    case PRINT:
        return ft_log_print(files[0], &options);
    case SUM:
        return ft_log_sum(files[0], &options);
    case VERIFY:
        return ft_log_verify(files[0]);
    case COMPARE:
        return ft_log_compare(files[0], files[1], &options);
    case FOLLOW:
        return ft_log_follow(files[0], &options);
    case AROUND:
        if (qemu_strtou64(files[1], NULL, 0, &where)) {
            wrong("'%s' is no log position", files[1]);
        }
        return ft_log_around(files[0], where, &options);
    case COMMANDS:
        break;
    }
    g_assert_not_reached();
}

static Command find_command(const char *name)
{
    for (int i = 0; i < COMMANDS; i++) {
        if (!strcmp(commands[i].name, name)) {
            return i;
        }
    }
    wrong("there is no command '%s'", name);
}

int main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = NULL;
    g_autoptr(GError) err = NULL;
    Command command;

    if (argc < 2) {
        wrong("which command?");
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        !strcmp(argv[1], "help")) {
        print_usage();
        return FT_LOG_GOOD;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("ft-log of QEMU-FT, log version %d\n", FT_LOG_FILE_VERSION);
        return FT_LOG_GOOD;
    }
    command = find_command(argv[1]);
    context = g_option_context_new(commands[command].arguments);
    g_option_context_set_summary(context, commands[command].summary);
    for (size_t i = 0; i < ARRAY_SIZE(option_groups); i++) {
        if (commands[command].takes & option_groups[i].takes) {
            g_option_context_add_main_entries(
                context, option_groups[i].entries, NULL);
        }
    }
    g_set_prgname(g_strdup_printf("ft-log %s", commands[command].name));
    argc--;
    argv++;
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        wrong("%s", err->message);
    }
    if (argc != 1 + commands[command].files) {
        wrong("%s takes %s", commands[command].name,
              commands[command].arguments);
    }
    return run(command, argv + 1);
}
