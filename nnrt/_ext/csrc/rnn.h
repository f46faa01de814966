/* Recurrences over time: arguments and table of csrc/rnn.c. */
#ifndef NNRT_RNN_H
#define NNRT_RNN_H

#include "linear.h"

enum { NNRT_CELL_TANH, NNRT_CELL_RELU, NNRT_CELL_GRU, NNRT_CELL_LSTM };

/* See nnrt._ref.rnn. A task is a direction, a slice of the sequences and a part of the units. */
typedef struct {
    nnrt_work work;
    const nnrt_gemm_ops *gemm;
    int32_t cell;
    int64_t t, b, h, p, d;
    void *y, *hn, *cn, *gates, *kept, *hidden;
    const void *h0, *c0;
    const void *w[2], *v[2], *bias[2];
    int64_t w_gate; /* elements of one gate's packed w */
    /* Where an LSTM's walk works out a = W x + offset itself, step by step: x[starts[t], i], packed W. */
    const void *x, *wx[2], *offset[2];
    int64_t i, wx_gate;
    const int64_t *starts; /* [t + 1]: the first row of each step; its sequences are the first ones */
    int32_t ragged;        /* not every sequence has every step */
    void *dgates, *dh0, *dc0, *dproj;
    const void *dy, *dhn, *dcn;

    int64_t slice, slices; /* sequences of a task: neighbours, where ragged every slices-th */
    int64_t together;      /* of tasks that a thread takes at once, at most */
    int64_t part, parts;   /* units of a task, whole panels */
    int64_t threads;       /* that have a range of the tasks each */
    int64_t first, last;   /* steps of this launch, in the order of the walk; the backward walk has t + 1 of them */
} nnrt_rnn_args;

typedef struct {
    nnrt_kernel forward[2], backward[2]; /* tasks: d x slices x parts */
} nnrt_rnn_table;

NNRT_TABLES(rnn)

#endif
