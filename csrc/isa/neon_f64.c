/* neon_f64: 2 doubles a vector, aarch64 */
#include "target.h"
#define TABLE ps_neon_f64
#define REAL_BITS 64
#define ISA_NEON 1
#define ISA_BYTES 16
#define MR 8    /* micro-kernel: MR rows x NV vectors of accumulators */
#define NV 3
#define KC 256  /* depth of a packed panel */
#define MC 96   /* rows of a packed block */
#include "../kernels.inc"
