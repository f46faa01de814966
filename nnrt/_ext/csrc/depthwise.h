/* Convolutions with narrow groups: arguments and table of csrc/depthwise.c.
 *
 * The side that is written is `out`, the side that is read `in`, in either direction. Channels are taken in
 * blocks: what one vector of sums, or a few, can hold. */
#ifndef NNRT_DEPTHWISE_H
#define NNRT_DEPTHWISE_H

#include "nnrt.h"

/* EACH: a channel reads its own. SPREAD: a vector of outputs spans several groups, and each lane is handed its
 * group's inputs by a permutation. WIDE: a group fills vectors of its own, inputs are broadcast. */
enum { NNRT_EACH, NNRT_SPREAD, NNRT_WIDE };

typedef struct {
    int64_t in, out, taps;
    int64_t stride, padding, dilation;
    int64_t phases; /* outputs so far apart read through the same taps: 1, or the stride when transposed */
    int64_t step;   /* their inputs are this far apart */
    int64_t k_step; /* an output reads through every k_step-th tap */
    int64_t tap;    /* whose inputs are this far apart */
} nnrt_axis;

/* The taps through which an output reads: the first, its input, how many. */
typedef struct {
    int64_t k, at, n;
} nnrt_reach;

/* Outputs along an axis that read through the same taps: first, how many, the first one's reach. */
typedef struct {
    int64_t first, count;
    nnrt_reach reach;
} nnrt_stretch;

/* An axis has at most so many. */
static inline int64_t nnrt_stretches(const nnrt_axis *a) { return a->phases * (2 * a->taps + 1); }

/* Whether the filter's gradient takes three taps along an axis at a time. Of one output, whose stride says nothing,
 * inputs may lie where no tap reads them. */
static inline int nnrt_slides(const nnrt_axis *a)
{
    return a->taps == 3 && a->stride == 1 && a->dilation == 1 && a->in + 2 * a->padding <= a->out + 2;
}

typedef struct {
    nnrt_work work;
    void *y;              /* [batch, out, out, out, channels] */
    const void *x;        /* [batch, in, in, in, channels] */
    const void *w;        /* EACH: [tap, width]; else [block, in channel, tap, lanes]: see kernel pack */
    const void *b, *residual;
    nnrt_axis axis[3];
    int64_t batch, kind;
    int64_t groups, in, out;  /* channels of a group that are read and written */
    int64_t blocks, together; /* of `together` groups; EACH: a block is a channel */
    int64_t lanes;            /* of a block in w, whole vectors; EACH: width of w */
    int64_t repeat;           /* EACH: pixels whose channels make a row of w, so that few channels fill vectors */
    int64_t part, strip;      /* blocks and rows of a task */
    int64_t chunk;            /* channels copied at a time, or 0; filter_backward, SPREAD and WIDE: blocks */
    int64_t stream;           /* whether to fetch ahead: arrays larger than L2; squares: 1 x alone, 2 dy, too */
    int32_t activation, past; /* past: whether whole lines of y bypass the caches */
    const nnrt_kernel *finish; /* linear's, for activations that the tile does not fuse */
    /* pack, and its inverse gather */
    void *packed;         /* like w; sums of filter_backward: [splits, like w; a row more, of dy] */
    void *db;             /* sums of dy, or NULL; of SPREAD in chunks alone */
    int64_t packed_count; /* elements of it, or of one of its splits */
    int32_t transposed;
    int64_t splits;       /* parts of the pixels that are summed apart */
} nnrt_depthwise_args;

typedef struct {
    nnrt_kernel pack[2];   /* tasks: ceil(blocks/part) */
    nnrt_kernel conv[2];   /* tasks: ceil(blocks/part) x batch x out x ceil(out/strip) */
    nnrt_kernel filter[2]; /* tasks: ceil(blocks/part) x splits; x: conv's x, y: dy, axis: conv's */
    nnrt_kernel gather[2]; /* y: dw; tasks: ceil(blocks/part) */
    nnrt_kernel square;    /* conv in float32, EACH, 3 x 3 taps, dilations 1; from AVX-512 on, else NULL. Strides 1:
                            * paddings 0 or 1, transposed 1 or 2; strides 2: paddings 0 or 1 and at least two outputs
                            * along either axis, transposed 1 */
    nnrt_kernel squares;   /* filter of the same, not transposed */
    int64_t vector;        /* bytes */
} nnrt_depthwise_table;

NNRT_TABLES(depthwise)

#endif
