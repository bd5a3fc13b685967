/* target.h: opens and closes an instruction set for one translation unit. GCC wants `#pragma GCC target`, Clang ignores
 * it and wants an attribute pushed. System headers come first: they must not be compiled for the target. */
#ifdef __FAST_MATH__
#error "pyscratch is accurate by contract: compile it without -ffast-math"
#endif
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#include "../table.h"

#define PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TARGET_BEGIN(isa) PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define TARGET_END PRAGMA(clang attribute pop)
#else
#define TARGET_BEGIN(isa) PRAGMA(GCC push_options) PRAGMA(GCC target(isa))
#define TARGET_END PRAGMA(GCC pop_options)
#endif
