/* scalar_f64: portable C, whatever the compiler makes of it */
#include "target.h"
#define TABLE ps_scalar_f64
#define REAL_BITS 64
#define ISA_SCALAR 1
#define ISA_BYTES 8
#define MR 4    /* micro-kernel: MR rows x NV vectors of accumulators */
#define NV 4
#define KC 256  /* depth of a packed panel */
#define MC 96   /* rows of a packed block */
#include "../kernels.inc"
