/* Comparisons and tests for special values. This file includes itself once per dtype. */
#ifndef REAL

#include "compare.h"

#include <math.h>

#define EACH_DTYPE "compare.c"
#include "each_dtype.h"

#define ENTRY(name)                                                          \
    .name = {{"compare/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},      \
             {"compare/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}},

const nnrt_compare_table NNRT_SYM(compare) = {NNRT_COMPARE_MAPS(ENTRY)};

#else

MAP_PAIR(eq, uint8_t, a == b)
MAP_PAIR(ne, uint8_t, a != b)
MAP_PAIR(lt, uint8_t, a < b)
MAP_PAIR(le, uint8_t, a <= b)
MAP_PAIR(gt, uint8_t, a > b)
MAP_PAIR(ge, uint8_t, a >= b)
MAP_PAIR(logical_and, uint8_t, (a != 0) & (b != 0))
MAP_PAIR(logical_or, uint8_t, (a != 0) | (b != 0))
MAP_PAIR(logical_xor, uint8_t, (a != 0) ^ (b != 0))
MAP_PAIR(logical_not, uint8_t, a == 0 && b == 0)
MAP_PAIR(isnan, uint8_t, (a != a) | (b != b))
MAP_PAIR(isinf, uint8_t, ((a == (REAL)INFINITY) | (a == -(REAL)INFINITY)) & (b == 0))
MAP_PAIR(isfinite, uint8_t, (a - a == 0) & (b == 0))

#endif
