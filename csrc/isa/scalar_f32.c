/* scalar_f32: portable C, whatever the compiler makes of it */
#include "target.h"
#define TABLE ps_scalar_f32
#define REAL_BITS 32
#define ISA_SCALAR 1
#define ISA_BYTES 4
#define MR 4    /* micro-kernel: MR rows x NV vectors of accumulators */
#define NV 4
#define KC 256  /* depth of a packed panel */
#define MC 96   /* rows of a packed block */
#include "../kernels.inc"
