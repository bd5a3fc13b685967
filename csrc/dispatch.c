/* dispatch.c: which instruction sets this machine has, and the active one. PYSCRATCH_ISA and ps_use_isa override the
 * choice; a name that is unknown or cannot run here is an error, never a silent fallback. */
#include <stdatomic.h>
#include <string.h>
#include "dispatch.h"

typedef struct {
    const char *name;
    int (*here)(void);
    const Table *table[2];                       /* by real */
} Isa;

static int always(void) { return 1; }
#if defined(__x86_64__)
/* The compiler's own check, which asks the operating system too whether it saves the wide registers. */
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

static const Isa isas[] = {                      /* best first */
#if defined(__x86_64__)
    {"avx512", has_avx512, {&ps_avx512_f32, &ps_avx512_f64}},
    {"avx2", has_avx2, {&ps_avx2_f32, &ps_avx2_f64}},
#elif defined(__aarch64__)
    {"neon", always, {&ps_neon_f32, &ps_neon_f64}},
#endif
    {"scalar", always, {&ps_scalar_f32, &ps_scalar_f64}},
};
enum { ISAS = sizeof isas / sizeof *isas };

static _Atomic(const Isa *) active;

static const Isa *best(void)
{
    for (int i = 0; i < ISAS; i++) if (isas[i].here()) return &isas[i];
    return &isas[ISAS - 1];
}

static const Isa *current(void)
{
    const Isa *isa = atomic_load_explicit(&active, memory_order_acquire);
    if (isa) return isa;
    isa = best();                                /* two threads that come here first store the same pointer */
    atomic_store_explicit(&active, isa, memory_order_release);
    return isa;
}

const Table *active_table(int real) { return current()->table[real]; }

const char *ps_isa(void) { return current()->name; }

int ps_use_isa(const char *name)
{
    if (!name) return PS_BAD_CALL;
    if (!*name) return atomic_store_explicit(&active, best(), memory_order_release), PS_OK;
    for (int i = 0; i < ISAS; i++) {
        if (strcmp(name, isas[i].name)) continue;
        if (!isas[i].here()) return PS_ISA_NOT_HERE;
        return atomic_store_explicit(&active, &isas[i], memory_order_release), PS_OK;
    }
    return PS_UNKNOWN_ISA;
}

const char *ps_isas(void)
{
    static const char *const words[] = {         /* by which of the first two rows run here: scalar always does */
#if defined(__x86_64__)
        "scalar", "avx2 scalar", "avx512 avx2 scalar"
#elif defined(__aarch64__)
        "scalar", "neon scalar"
#else
        "scalar"
#endif
    };
    int runs = -1;
    for (int i = 0; i < ISAS; i++) runs += isas[i].here() != 0;
    return words[runs];
}
