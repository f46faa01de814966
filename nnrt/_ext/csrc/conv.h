/* Direct convolutions by register tiles: arguments and table of csrc/conv.c.
 *
 * Activations are [N, D, H, W, C] without gaps. Triples are along d, h, w. */
#ifndef NNRT_CONV_H
#define NNRT_CONV_H

#include "linear.h"

/* Channels of x side by side in a block from which a filter's gradient is summed: a cache line of floats. */
#define NNRT_CONV_WIDTH 16
/* Rows of dw that are gathered from sums at a time. */
#define NNRT_CONV_ROWS 64

/* One pass: the outputs that the same taps serve.
 *
 *   y[o] = act(bias + residual + sum over taps t of x[first + o * stride + t * step] filter[t])
 *
 * A convolution is one pass. The transposed one with stride s is a pass for each residue modulo s
 * of the output's coordinates, whose taps are those that meet an input there. */
typedef struct {
    int64_t out[3];   /* outputs */
    int64_t first[3]; /* what output 0 meets with tap 0 */
    int64_t taps[3];
    int64_t y;        /* element of y where output 0 lies */
    int64_t filter;   /* element of the packed filter where its panels begin */
} nnrt_conv_pass;

/* Packed filter of a pass: [groups][panel of nr outputs][taps][inputs of a group][nr], the last panel of a
 * group as wide as the vectors that cover its outputs. */
typedef struct {
    nnrt_work work;
    const nnrt_gemm_ops *gemm;
    const void *x, *filter, *bias, *residual;
    void *y;
    int64_t images, groups;
    int64_t in[3], x_channels, y_channels;
    int64_t stride[3], step[3];
    int64_t y_image, y_step[3]; /* elements between outputs */
    int32_t activation;
    int64_t passes;
    const nnrt_conv_pass *pass;
    /* the plan: a task is a block of outputs of all passes, which share their part of x */
    int64_t most[3], low[3], high[3]; /* of all passes: outputs, and what output 0 meets with the first and last taps */
    int64_t taps;                     /* most of one pass */
    int32_t padded;                   /* some tap meets no input: the part of x is copied between zeros */
    int64_t rows, cols;               /* outputs along h and w per task */
    int64_t panels;                   /* panels of the filter per task */
} nnrt_conv_args;

/* patches[m, taps, inputs of a group] of one group, m counting images and outputs: the rows of a product. */
typedef struct {
    nnrt_work work;
    const void *x;
    void *patches;
    int64_t images;
    int64_t in[3], out[3], taps[3], stride[3], step[3], first[3];
    int64_t x_channels, channel, channels; /* those of the group: where they begin and how many */
    int64_t rows;                          /* of patches per task */
} nnrt_conv_patches;

/* sums[chunk, group, tap, inputs, outputs of the group] of x[first + o * stride + t * step] dy[o] over the outputs of a
 * chunk. A task's part of x is copied in blocks of channels [block][d][h][w][width], which are read line by line. */
typedef struct {
    nnrt_work work;
    const nnrt_gemm_ops *gemm;
    const void *x, *dy;
    void *sums, *totals; /* totals[chunk, y_channels]: of dy alone, or NULL */
    int64_t images, groups;
    int64_t in[3], x_channels, out[3], y_channels;
    int64_t taps[3], stride[3], step[3], first[3];
    /* the plan */
    int64_t width;         /* of a block of channels */
    int32_t joined;        /* one block, in which the taps along w lie side by side */
    int64_t rows, cols;    /* outputs along h and w that are summed in registers at a time */
    int64_t blocks, chunk; /* such blocks of outputs in all, and per chunk */
    int64_t panels;        /* of nr channels of dy per task */
} nnrt_conv_sums;

/* dw[group, outputs, inputs, taps] = sum over chunks of sums[chunk, group, taps,
 * inputs, outputs], db = that of totals. */
typedef struct {
    nnrt_work work;
    const void *sums, *totals;
    void *dw, *db; /* db: or NULL */
    int64_t chunks, groups, taps, inputs, outputs; /* inputs and outputs of a group */
    int64_t length; /* of a piece of a row of dw */
} nnrt_conv_gather;

/* dst: packed filters from w[., .], inputs `input` apart, outputs `output` apart, taps contiguous. */
typedef struct {
    nnrt_work work;
    void *dst;
    const void *w;
    int64_t groups, inputs, outputs, taps; /* inputs and outputs of a group */
    int64_t group, input, output;          /* elements of w between groups, inputs, outputs */
    const int64_t *base;  /* [taps] where the tap's pass begins in dst */
    const int64_t *count; /* [taps] taps of its pass */
    const int64_t *place; /* [taps] its number among them */
} nnrt_conv_pack;

/* x[i] = bias + sum of columns[n, o, k, :] over i = first + o stride + k step. */
typedef struct {
    nnrt_work work;
    const void *columns, *bias; /* bias: or NULL */
    void *x;
    int64_t images, channels;
    int64_t in[3], out[3], taps[3], stride[3], step[3], first[3];
    int64_t rows; /* of x per task */
} nnrt_conv_fold;

typedef struct {
    nnrt_kernel tiles;   /* tasks: images x depth x bands of rows x of columns x strips of panels */
    nnrt_kernel patches; /* tasks: ceil(m/rows) */
    nnrt_kernel sums;    /* tasks: chunks x strips of panels */
    nnrt_kernel gather;  /* tasks: groups x ceil(outputs/64) x ceil(row of dw/length) */
    nnrt_kernel pack;    /* tasks: groups x panels */
    nnrt_kernel fold;    /* tasks: ceil(images x depth x height/rows) */
} nnrt_conv_ops;

typedef struct {
    nnrt_conv_ops dtype[2];
} nnrt_conv_table;

NNRT_TABLES(conv)

#endif
