/* avx512_f64: 8 doubles a vector, AVX-512 F, DQ, BW, VL */
#include "target.h"
#define TABLE ps_avx512_f64
#define REAL_BITS 64
#define ISA_AVX512 1
#define ISA_BYTES 64
#define MR 6    /* micro-kernel: MR rows x NV vectors of accumulators */
#define NV 4
#define KC 384  /* depth of a packed panel */
#define MC 48   /* rows of a packed block */
TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")
#include "../kernels.inc"
TARGET_END
