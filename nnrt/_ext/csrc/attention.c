/* Attention by blocks of queries and keys, with the softmax carried on from block to block (Milakov and Gimelshein,
 * Online normalizer calculation for softmax, 2018; Dao et al., FlashAttention, 2022). Products are the register tiles
 * of linear.c. Scores are kept transposed, in panels s[key, query] of NR queries: queries lie along vectors, so nothing
 * is summed across lanes, and only queries are ever packed.
 *
 * This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include "attention.h"
#include "philox.h"
#include "vmath.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Keys that a block of queries meets at once: positions at .. at + count - 1. */
typedef struct {
    int64_t at, count;
    const uint64_t *words; /* which queries meet which of them, or NULL: all */
} attention_run;

/* The next keys of block t of the queries, which ends before query `last`, after `next` of its lists' blocks, or of
 * the keys; 0 when there are no more. */
static int attention_next(const nnrt_attention_args *a, int64_t t, int64_t last, int64_t *next, attention_run *run)
{
    const nnrt_attention_part *p = a->part;
    last += a->first;
    run->words = NULL;
    if (!p) {
        const int64_t limit = a->causal && last < a->keys ? last : a->keys;
        run->at = *next;
        run->count = limit - *next < a->cols ? limit - *next : a->cols;
        *next += run->count;
        return run->count > 0;
    }
    const int64_t i = p->first[t] + *next;
    if (i >= p->first[t + 1])
        return 0;
    run->at = p->k_at[p->block[i]];
    run->count = p->k_at[p->block[i] + 1] - run->at;
    if (p->mask[i] >= 0)
        run->words = p->words + 64 * p->mask[i];
    for (++*next; !run->words; ++*next) { /* neighbours that are met as a whole go together */
        const int64_t j = p->first[t] + *next;
        if (j >= p->first[t + 1] || p->mask[j] >= 0 || p->k_at[p->block[j]] != run->at + run->count)
            break;
        const int64_t more = p->k_at[p->block[j] + 1] - p->k_at[p->block[j]];
        if (run->count + more > a->cols)
            break;
        run->count += more;
    }
    return 1;
}

#define EACH_DTYPE "attention.c"
#include "each_dtype.h"

#define KERNEL(name, type) .name = {"attention/" #name "/" #type "/" NNRT_STR(NNRT_ISA), attention_##name##_##type}
#define OPS(type)                                                                                    \
    {                                                                                                \
        KERNEL(forward, type), KERNEL(backward, type), KERNEL(gather, type), KERNEL(of_mask, type),  \
        KERNEL(decode, type), KERNEL(merge, type), .scratch = attention_scratch_##type,              \
    }

const nnrt_attention_table NNRT_SYM(attention) = {{OPS(f32), OPS(f64)}};

#else

#include "gemm_vec.h"
#define ELEMENT REAL
#define ELEMENT_BYTES REAL_BYTES
#include "transpose.h"
#include "attention_vector.h"
#include "attention_block.h"
#include "attention_forward.h"
#include "attention_backward.h"
#include "attention_decode.h"
#undef VL
#undef NR
#undef SIDE
#undef ELEMENT
#undef ELEMENT_BYTES

#endif
