#ifndef NNRT_ATTENTION_H
#define NNRT_ATTENTION_H

#include "linear.h"
#include "nnrt.h"

enum {
    NNRT_ATTENTION_ROWS = 128, /* most queries of a block, of many keys a few times as many */
    NNRT_ATTENTION_COLS = 128, /* most keys, where the scores of a whole block are kept */
    NNRT_ATTENTION_LONG = 512, /* where those of a panel are: so many while k and v take 256 kB */
    NNRT_ATTENTION_NEAR = 64, /* keys whose scores of a panel, and a panel's width of whose values, stay in L1 */
    NNRT_ATTENTION_TASKS = 16  /* that a backward pass wants */
};

/* An array [B, heads, rows, size] whose last axis is contiguous: elements between steps along the others. */
typedef struct {
    void *data;
    int64_t step[3];
} nnrt_attention_array;

/* Which keys the queries meet, block by block: a part of a pattern. Block t of the queries holds positions q_at[t] to
 * q_at[t + 1] of q_index (NULL: the positions themselves are the rows), the same for keys. Queries t meet the key
 * blocks block[first[t]] to block[first[t + 1]], each with mask -1 (all of it) or words[64 mask + key], where bit l
 * says whether query l of the block meets the key. Blocks have at most 64 rows. */
typedef struct {
    const int64_t *q_index, *k_index, *q_at, *k_at, *first, *block, *mask;
    const uint64_t *words;
    int64_t q_blocks;
    int32_t again; /* out and lse hold what earlier parts gave */
} nnrt_attention_part;

typedef struct {
    nnrt_work work;
    const nnrt_gemm_ops *gemm;
    nnrt_attention_array q, k, v, out, dout, dq, dk, dv;
    void *lse; /* [B, H, L] or NULL */
    int64_t batch, heads, groups, queries, keys, size, width;
    double scale;
    int64_t first; /* the position of query 0 among the keys */
    int32_t causal, boolean, dropout;
    const void *mask; /* of bool or REAL, or NULL */
    int64_t mask_step[4];
    const void *slopes;                                          /* [H] or NULL: s -= slope |i - j| */
    nnrt_attention_array relative, mass, drelative, dmass;       /* [B, H, L, 2 reach + 1], data may be NULL */
    int64_t reach;
    double kept; /* 1 / (1 - p) */
    uint32_t below;
    uint64_t seed, offset;
    const nnrt_attention_part *part; /* or NULL */
    int64_t rows, cols;  /* of queries and of keys in a block */
    int64_t chunks;      /* backward: tasks of a group */
    int32_t stretches;   /* these are stretches of the blocks of queries, not every chunks-th */
    int64_t met[NNRT_ATTENTION_TASKS][2]; /* the keys that a chunk meets lie between */
    void *partial;       /* backward: [chunks, B, G, S, D + E]; decode: [B, H, chunks, E + 2]; or NULL */
    void *dmask;         /* [dmask_size], contiguous */
    int64_t dmask_size[4];
} nnrt_attention_args;

typedef struct {
    nnrt_kernel forward;  /* tasks: B x H x blocks of queries */
    nnrt_kernel backward; /* tasks: B x G x chunks */
    nnrt_kernel gather;   /* tasks: B x G x blocks of keys: dk and dv from partial */
    nnrt_kernel of_mask;  /* tasks: heads of dmask x, without a part, blocks of its rows and columns */
    nnrt_kernel decode;   /* L = 1; tasks: B x H x chunks of the keys */
    nnrt_kernel merge;    /* tasks: B x H: out from partial */
    /* bytes of scratch that forward, backward and of_mask need */
    size_t (*scratch)(const nnrt_attention_args *a, int backward);
} nnrt_attention_ops;

typedef struct {
    nnrt_attention_ops dtype[2];
} nnrt_attention_table;

NNRT_TABLES(attention)

#endif
