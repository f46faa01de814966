/* Which instruction set levels the CPU and the operating system offer. */
#ifndef NNRT_CPU_H
#define NNRT_CPU_H

/* Bit NNRT_<LEVEL> is set for each level that can run here; 0 when even the
 * baseline cannot. */
unsigned nnrt_cpu_levels(void);
/* "baseline", "avx2", "avx512" or "neon"; NULL for an unknown level. */
const char *nnrt_cpu_level_name(int level);
/* The brand string, or "" where the CPU does not tell. */
const char *nnrt_cpu_brand(void);
/* Bytes of the data cache at level 1, 2 or 3; 0 when unknown. */
long nnrt_cpu_cache(int level);

#endif
