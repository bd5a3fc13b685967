/* floating.h: the floating-point environment that the kernels need: round to nearest, gradual underflow, no traps.
 * Another library's flush-to-zero must not change our bits, and ours must not change theirs. */
#ifndef FLOATING_H
#define FLOATING_H
#include <stdint.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
typedef unsigned Control;
static inline Control enter_floating(void)
{
    Control saved = _mm_getcsr();
    if ((saved & ~0x3fu) != 0x1f80u) _mm_setcsr(0x1f80);      /* all traps masked, nearest, FTZ and DAZ off */
    return saved;
}
static inline void leave_floating(Control saved) { if ((saved & ~0x3fu) != 0x1f80u) _mm_setcsr(saved); }
#elif defined(__aarch64__)
typedef uint64_t Control;
static inline Control enter_floating(void)
{
    Control saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    if (saved) __asm__ volatile("msr fpcr, %0" : : "r"((Control)0));
    return saved;
}
static inline void leave_floating(Control saved) { if (saved) __asm__ volatile("msr fpcr, %0" : : "r"(saved)); }
#else
typedef int Control;
static inline Control enter_floating(void) { return 0; }
static inline void leave_floating(Control saved) { (void)saved; }
#endif
#endif
