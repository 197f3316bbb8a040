/*
 * What the fuzzers share: an input that is read bit by bit.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef FT_FUZZ_H
#define FT_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Input {
    const uint8_t *data;
    size_t size;
} Input;

/* Past its end an input is all zeros. */
static inline uint8_t input_byte(Input *in)
{
    if (!in->size) {
        return 0;
    }
    in->size--;
    return *in->data++;
}

static inline uint64_t input_number(Input *in, unsigned bytes)
{
    uint64_t n = 0;

    while (bytes--) {
        n = n << 8 | input_byte(in);
    }
    return n;
}

/* Up to max bytes; *size says how many there are. */
static inline const uint8_t *input_bytes(Input *in, size_t max, size_t *size)
{
    const uint8_t *data = in->data;

    *size = max < in->size ? max : in->size;
    in->data += *size;
    in->size -= *size;
    return data;
}

/* A finding, beside what the sanitizers and the code's assertions find. */
#define MUST(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, \
                    #condition); \
            abort(); \
        } \
    } while (0)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
