#ifndef NNRT_COMPARE_H
#define NNRT_COMPARE_H

#include "map.h"

/* Maps: see map.h. */
#define NNRT_COMPARE_MAPS(X)                                                                \
    X(eq) X(ne) X(lt) X(le) X(gt) X(ge) X(logical_and) X(logical_or) X(logical_xor)         \
    X(logical_not) X(isnan) X(isinf) X(isfinite)

typedef struct {
#define X(name) nnrt_kernel name[2];
    NNRT_COMPARE_MAPS(X)
#undef X
} nnrt_compare_table;

NNRT_TABLES_AVX2(compare)

#endif
