/* avx2_f64: 4 doubles a vector, AVX2 and FMA */
#include "target.h"
#define TABLE ps_avx2_f64
#define REAL_BITS 64
#define ISA_AVX2 1
#define ISA_BYTES 32
#define MR 6    /* micro-kernel: MR rows x NV vectors of accumulators */
#define NV 2
#define KC 256  /* depth of a packed panel */
#define MC 96   /* rows of a packed block */
TARGET_BEGIN("avx2,fma")
#include "../kernels.inc"
TARGET_END
