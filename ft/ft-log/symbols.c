/*
 * Guest addresses and their names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "symbols.h"

#define PC_FILE_BEGINS "# ft-pc 1\n"
/* Further from a symbol than this, an address is not in it. */
#define SYMBOL_MAX (16 * 1024 * 1024)

typedef struct Symbol {
    uint64_t address;
    const char *name;           /* in text */
} Symbol;

struct FtLogSymbols {
    char *text;
    GArray *symbols;            /* by address */
};

typedef struct PcEntry {
    uint64_t position, address;
} PcEntry;

struct FtLogPc {
    GArray *entries;            /* by position */
};

static gint compare_symbols(gconstpointer a, gconstpointer b)
{
    uint64_t x = ((const Symbol *)a)->address;
    uint64_t y = ((const Symbol *)b)->address;

    return x < y ? -1 : x > y;
}

/* Lines "address type name [module]"; data and absolute ones are no code. */
static void parse_map(FtLogSymbols *symbols, uint64_t slide)
{
    char *save = NULL;

    for (char *line = strtok_r(symbols->text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        Symbol symbol;
        char *rest;

        symbol.address = g_ascii_strtoull(line, &rest, 16) + slide;
        if (rest == line || rest[0] != ' ' || !rest[1] || rest[2] != ' ' ||
            !strchr("tTwW", rest[1])) {
            continue;
        }
        symbol.name = rest + 3;
        rest[3 + strcspn(rest + 3, " \t\r")] = 0;
        g_array_append_val(symbols->symbols, symbol);
    }
    g_array_sort(symbols->symbols, compare_symbols);
}

static bool is_elf(const char *path)
{
    char start[4] = "";
    FILE *f = fopen(path, "rb");
    bool elf = f && fread(start, 1, 4, f) == 4 &&
        !memcmp(start, "\177ELF", 4);

    if (f) {
        fclose(f);
    }
    return elf;
}

static char *read_elf(const char *path, char **why)
{
    const char *argv[] = { "nm", "--", path, NULL };
    g_autoptr(GError) err = NULL;
    char *text = NULL;
    int status;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL,
                      NULL, &text, NULL, &status, &err)) {
        *why = g_strdup_printf("symbols of '%s' are read by nm: %s (Debian "
                               "package binutils)", path, err->message);
        return NULL;
    }
    return text;
}

FtLogSymbols *ft_log_symbols_load(const char *path, uint64_t slide, char **why)
{
    g_autoptr(GError) err = NULL;
    FtLogSymbols *symbols;
    char *text = NULL;

    if (is_elf(path)) {
        text = read_elf(path, why);
        if (!text) {
            return NULL;
        }
    } else if (!g_file_get_contents(path, &text, NULL, &err)) {
        *why = g_strdup_printf("symbols: %s", err->message);
        return NULL;
    }
    symbols = g_new0(FtLogSymbols, 1);
    symbols->text = text;
    symbols->symbols = g_array_new(false, false, sizeof(Symbol));
    parse_map(symbols, slide);
    if (symbols->symbols->len) {
        return symbols;
    }
    *why = g_strdup_printf("'%s' names no function. Use the kernel's vmlinux "
                           "or System.map (Debian: package linux-image-"
                           "VERSION-dbg), or the guest's /proc/kallsyms as "
                           "root reads it", path);
    g_array_unref(symbols->symbols);
    g_free(text);
    g_free(symbols);
    return NULL;
}

static const Symbol *find_symbol(const FtLogSymbols *symbols, uint64_t address)
{
    guint low = 0, high = symbols ? symbols->symbols->len : 0;
    const Symbol *symbol;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        symbol = &g_array_index(symbols->symbols, Symbol, middle);
        if (symbol->address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (!low) {
        return NULL;
    }
    symbol = &g_array_index(symbols->symbols, Symbol, low - 1);
    return address - symbol->address < SYMBOL_MAX ? symbol : NULL;
}

char *ft_log_symbols_name(const FtLogSymbols *symbols, uint64_t address)
{
    const Symbol *symbol = find_symbol(symbols, address);

    return symbol ? g_strdup_printf("%s+0x%" PRIx64, symbol->name,
                                    address - symbol->address)
        : g_strdup_printf("0x%" PRIx64, address);
}

char *ft_log_symbols_function(const FtLogSymbols *symbols, uint64_t address)
{
    const Symbol *symbol = find_symbol(symbols, address);

    return symbol ? g_strdup(symbol->name)
        : g_strdup_printf("0x%" PRIx64, address);
}

FtLogPc *ft_log_pc_load(const char *path, char **why)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;
    uint64_t last = 0;
    FtLogPc *pc;
    char *at;

    if (!g_file_get_contents(path, &text, NULL, &err)) {
        *why = g_strdup_printf("program counters: %s", err->message);
        return NULL;
    }
    if (!g_str_has_prefix(text, PC_FILE_BEGINS)) {
        *why = g_strdup_printf("'%s' holds no program counters; make it with "
                               "-ft replay,log=FILE,pc=%s", path, path);
        return NULL;
    }
    pc = g_new0(FtLogPc, 1);
    pc->entries = g_array_new(false, false, sizeof(PcEntry));
    at = text + strlen(PC_FILE_BEGINS);
    while (*at) {
        PcEntry entry;
        char *end;

        entry.position = g_ascii_strtoull(at, &end, 10);
        entry.address = g_ascii_strtoull(end, &end, 16);
        if (*end != '\n') {
            break;                      /* a line that was cut off */
        }
        at = end + 1;
        if (!pc->entries->len || entry.position > last) {
            g_array_append_val(pc->entries, entry);
            last = entry.position;
        }
    }
    return pc;
}

bool ft_log_pc_find(const FtLogPc *pc, uint64_t position, uint64_t *address)
{
    guint low = 0, high = pc ? pc->entries->len : 0;

    while (low < high) {
        guint middle = low + (high - low) / 2;
        const PcEntry *entry = &g_array_index(pc->entries, PcEntry, middle);

        if (entry->position == position) {
            *address = entry->address;
            return true;
        }
        if (entry->position < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}
