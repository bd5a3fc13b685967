/* neon.c: makes the calls that tests/neon.py sends, on the processor that it is compiled for.
 *
 * A request: the entry's number and the count of its arguments, then for each a tag and 8 bytes: an integer, a double,
 * or the length of an array that follows (-1: NULL). An answer: the status, then every array as the call left it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pyscratch.h"

enum { MOST = 24, GUARD = 64, MARK = 0x5a };
typedef struct { int64_t i; double d; size_t length; unsigned char *p; } Argument;
static Argument arg[MOST];
static int count;

static void take(void *to, size_t size) { if (size && fread(to, size, 1, stdin) != 1) exit(0); }
static void give(const void *from, size_t size) { if (size && fwrite(from, size, 1, stdout) != 1) exit(2); }

static void take_argument(Argument *a)
{
    char tag;
    take(&tag, 1);
    take(tag == 'd' ? (void *)&a->d : (void *)&a->i, 8);
    a->length = 0, a->p = NULL;
    if (tag != 'a' || a->i < 0) return;
    a->length = (size_t)a->i;
    a->p = malloc(a->length + GUARD);
    if (!a->p) exit(2);
    take(a->p, a->length);
    memset(a->p + a->length, MARK, GUARD);
}

static void give_argument(Argument *a)
{
    for (size_t i = 0; a->p && i < GUARD; i++)
        if (a->p[a->length + i] != MARK) {
            fprintf(stderr, "a kernel wrote past the end of argument %d\n", (int)(a - arg));
            exit(3);
        }
    give(a->p, a->length);
    free(a->p);
}

#define I(n) ((int)arg[n].i)
#define S(n) ((size_t)arg[n].i)
#define D(n) (arg[n].d)
#define P(n) ((void *)arg[n].p)

/* In the order of ENTRIES in tests/neon.py. */
static int call(int entry)
{
    switch (entry) {
    case 0: return ps_use_isa(P(0));
    case 1: return ps_function(I(0), I(1), S(2), P(3), P(4), P(5));
    case 2:
        if (P(1)) ((ps_options *)P(1))->class_weights = P(21);          /* the sender's pointer means nothing here */
        return ps_head(I(0), P(1), I(2), S(3), S(4), S(5), P(6), P(7), I(8), P(9), P(10), D(11), I(12), P(13), P(14),
                       P(15), P(16), P(17), P(18), P(19), P(20), P(22));
    case 3: return ps_dense_forward(I(0), S(1), S(2), S(3), I(4), P(5), P(6), P(7), P(8), P(9));
    case 4: return ps_dense_backward(I(0), S(1), S(2), S(3), I(4), P(5), P(6), P(7), P(8), P(9), P(10), P(11), P(12));
    case 5: return ps_activation_forward(I(0), I(1), S(2), P(3), P(4));
    case 6: return ps_activation_backward(I(0), I(1), S(2), P(3), P(4), P(5));
    case 7: return ps_layer_norm_forward(I(0), S(1), S(2), D(3), P(4), P(5), P(6), P(7));
    case 8: return ps_layer_norm_backward(I(0), S(1), S(2), D(3), P(4), P(5), P(6), P(7), P(8), P(9));
    case 9: return ps_sgd(I(0), S(1), P(2), P(3), P(4), D(5), D(6), I(7));
    case 10: return ps_adam(I(0), S(1), P(2), P(3), P(4), P(5), D(6), D(7), D(8), D(9), D(10), D(11));
    }
    exit(2);
}

int main(void)
{
    for (;;) {
        int32_t request[2];
        take(request, sizeof request);
        count = request[1];
        for (int i = 0; i < count; i++) take_argument(&arg[i]);
        int64_t status = call(request[0]);
        give(&status, sizeof status);
        for (int i = 0; i < count; i++) give_argument(&arg[i]);
        fflush(stdout);
    }
}
