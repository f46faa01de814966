/* Maps: out = f(in, in, ...) element by element, over operands of any strides.
 *
 * A driver plans a map (map_plan.h): axes are sorted by the output's strides and
 * merged, so that most maps become one long row. A kernel file supplies, per map, a
 * row function: a plain loop over contiguous operands that the compiler vectorises.
 * nnrt_map_run calls it row by row; operands that are not contiguous are gathered
 * into small buffers first, and rows that are short are taken several at a time. */
#ifndef NNRT_MAP_H
#define NNRT_MAP_H

#include "nnrt.h"
#include "stream.h"

enum {
    NNRT_MAP_OPERANDS = 6,
    NNRT_MAP_AXES = 32,
    /* Elements per gathered block: the buffers of six operands fit in L1. */
    NNRT_MAP_BLOCK = 512,
    /* Rows shorter than this are gathered several at a time: a row costs about as much as 16 elements. */
    NNRT_MAP_SHORT = 48,
    /* From here on not where every operand's are contiguous. */
    NNRT_MAP_DIRECT = 8,
};

typedef struct {
    nnrt_work work;
    int32_t operands, outs; /* the first `outs` operands are written */
    int32_t axes;           /* outer axes: all but the row */
    int32_t whole;          /* one task of one row, every operand contiguous: data, step and inner say it all */
    int32_t stream;         /* bypass the caches when writing, as the output is larger; 2: in rows that can */
    int64_t inner, rows;    /* elements of a row, number of rows */
    int64_t piece, pieces;  /* a task takes a piece of a row, */
    int64_t task_rows;      /* or, when rows are not cut (pieces == 1), some rows */
    char *data[NNRT_MAP_OPERANDS];
    int64_t step[NNRT_MAP_OPERANDS]; /* bytes from one element of the row to the next */
    int64_t item[NNRT_MAP_OPERANDS]; /* bytes per element: 1 for bool */
    uint8_t flat[NNRT_MAP_OPERANDS]; /* is the operand contiguous across rows? */
    int64_t size[NNRT_MAP_AXES], stride[NNRT_MAP_AXES][NNRT_MAP_OPERANDS];
    double constant[5];
    double number[NNRT_MAP_OPERANDS]; /* memory of operands that are numbers */
} nnrt_map_args;

/* A row: n elements of contiguous operands; step is looked at by maps that take repeated operands. A row function that
 * can write past the caches itself (MAP_STREAMS) shall do so where step is NULL. */
typedef void (*nnrt_map_row)(char *const *data, const int64_t *step, int64_t n, const double *constant);

/* to[i] = element i of `from`, `step` bytes apart */
static inline void nnrt_map_gather(char *to, const char *from, int64_t step, int64_t item, int64_t n)
{
    if (step == item)
        memcpy(to, from, (size_t)(n * item));
    else if (item == 4)
        for (int64_t i = 0; i < n; i++)
            ((uint32_t *)to)[i] = *(const uint32_t *)(from + i * step);
    else if (item == 8)
        for (int64_t i = 0; i < n; i++)
            ((uint64_t *)to)[i] = *(const uint64_t *)(from + i * step);
    else
        for (int64_t i = 0; i < n; i++)
            to[i] = from[i * step];
}

static inline void nnrt_map_scatter(char *to, const char *from, int64_t step, int64_t item, int64_t n)
{
    if (step == item)
        memcpy(to, from, (size_t)(n * item));
    else if (item == 4)
        for (int64_t i = 0; i < n; i++)
            *(uint32_t *)(to + i * step) = ((const uint32_t *)from)[i];
    else if (item == 8)
        for (int64_t i = 0; i < n; i++)
            *(uint64_t *)(to + i * step) = ((const uint64_t *)from)[i];
    else
        for (int64_t i = 0; i < n; i++)
            to[i * step] = from[i];
}

/* Writes `bytes` of a block past the caches, and asks for what the next block reads meanwhile. */
static inline void nnrt_map_stream(char *to, const char *from, int64_t bytes, const char *const *next, int count)
{
    int64_t i = 0;
    for (; i + 64 <= bytes; i += 64) {
        for (int k = 0; k < count; k++)
            __builtin_prefetch(next[k] + i, 0, 3);
        nnrt_stream(to + i, from + i, 64);
    }
    nnrt_stream(to + i, from + i, bytes - i);
}

enum { MAP_REPEATS = 1, MAP_STREAMS = 2 };

/* One row, or a piece of one. can: MAP_REPEATS, the row function takes an input of step 0; MAP_STREAMS. */
static void nnrt_map_long(const nnrt_map_args *p, char **data, int64_t n, nnrt_map_row row, int can)
{
    char buffer[NNRT_MAP_OPERANDS][NNRT_MAP_BLOCK * 8] __attribute__((aligned(64)));
    char *block[NNRT_MAP_OPERANDS];
    int64_t step[NNRT_MAP_OPERANDS];
    const int stream = p->stream == 1;
    int direct[NNRT_MAP_OPERANDS], all = !stream || can & MAP_STREAMS, repeated = 0;
    for (int k = 0; k < p->operands; k++) {
        direct[k] = p->step[k] == p->item[k];
        if (can & MAP_REPEATS && k >= p->outs && p->step[k] == 0 && !repeated)
            direct[k] = repeated = 1;
        all &= direct[k];
        step[k] = direct[k] ? p->step[k] : p->item[k];
    }
    if (all) {
        row(data, p->stream && can & MAP_STREAMS ? NULL : p->step, n, p->constant);
        return;
    }
    for (int k = 0; k < p->operands; k++) {
        if (stream && k < p->outs)
            direct[k] = 0;
        block[k] = buffer[k];
        if (!direct[k] && p->step[k] == 0 && k >= p->outs)
            nnrt_map_gather(buffer[k], data[k], 0, p->item[k], n < NNRT_MAP_BLOCK ? n : NNRT_MAP_BLOCK);
    }
    for (int64_t i = 0; i < n; i += NNRT_MAP_BLOCK) {
        int64_t m = n - i < NNRT_MAP_BLOCK ? n - i : NNRT_MAP_BLOCK;
        for (int k = 0; k < p->operands; k++)
            if (direct[k])
                block[k] = data[k] + i * p->step[k];
            else if (k >= p->outs && p->step[k] != 0)
                nnrt_map_gather(buffer[k], data[k] + i * p->step[k], p->step[k], p->item[k], m);
        row(block, step, m, p->constant);
        if (stream) {
            const char *next[NNRT_MAP_OPERANDS];
            int count = 0;
            for (int k = p->outs; k < p->operands; k++)
                if (direct[k] && p->step[k] == p->item[0])
                    next[count++] = block[k] + m * p->item[0];
            for (int k = 0; k < p->outs; k++, count = 0)
                nnrt_map_stream(data[k] + i * p->item[k], buffer[k], m * p->item[k], next, count);
            continue;
        }
        for (int k = 0; k < p->outs; k++)
            if (!direct[k])
                nnrt_map_scatter(data[k] + i * p->step[k], buffer[k], p->step[k], p->item[k], m);
    }
}

/* Where a row begins in every operand, stepped from row to row. */
typedef struct {
    int64_t index[NNRT_MAP_AXES];
    char *data[NNRT_MAP_OPERANDS];
} nnrt_map_place;

static void nnrt_map_seek(const nnrt_map_args *p, nnrt_map_place *at, int64_t row)
{
    memcpy(at->data, p->data, sizeof at->data);
    for (int a = p->axes - 1; a >= 0; a--) {
        at->index[a] = row % p->size[a];
        row /= p->size[a];
        for (int k = 0; k < p->operands; k++)
            at->data[k] += at->index[a] * p->stride[a][k];
    }
}

static inline void nnrt_map_next(const nnrt_map_args *p, nnrt_map_place *at)
{
    for (int a = p->axes - 1; a >= 0; a--) {
        int wraps = ++at->index[a] == p->size[a];
        for (int k = 0; k < p->operands; k++)
            at->data[k] += p->stride[a][k];
        if (!wraps)
            return;
        for (int k = 0; k < p->operands; k++)
            at->data[k] -= p->size[a] * p->stride[a][k];
        at->index[a] = 0;
    }
}

/* Short rows: as many as fill a block are gathered, mapped and scattered together. */
static void nnrt_map_short(const nnrt_map_args *p, nnrt_map_place *at, int64_t rows, nnrt_map_row row)
{
    char buffer[NNRT_MAP_OPERANDS][NNRT_MAP_BLOCK * 8] __attribute__((aligned(64)));
    char *block[NNRT_MAP_OPERANDS];
    int64_t together = NNRT_MAP_BLOCK / p->inner;
    for (; rows > 0; rows -= together) {
        int64_t count = rows < together ? rows : together;
        nnrt_map_place start = *at;
        for (int k = 0; k < p->operands; k++)
            block[k] = p->flat[k] ? at->data[k] : buffer[k];
        for (int64_t r = 0; r < count; r++) {
            for (int k = p->outs; k < p->operands; k++)
                if (!p->flat[k]) {
                    char *to = buffer[k] + r * p->inner * p->item[k];
                    for (int64_t i = 0; i < p->inner; i++)
                        if (p->item[k] == 4)
                            ((uint32_t *)to)[i] = *(uint32_t *)(at->data[k] + i * p->step[k]);
                        else if (p->item[k] == 8)
                            ((uint64_t *)to)[i] = *(uint64_t *)(at->data[k] + i * p->step[k]);
                        else
                            to[i] = at->data[k][i * p->step[k]];
                }
            nnrt_map_next(p, at);
        }
        row(block, p->item, count * p->inner, p->constant);
        for (int k = 0; k < p->outs; k++)
            if (!p->flat[k]) {
                nnrt_map_place back = start;
                for (int64_t r = 0; r < count; r++) {
                    nnrt_map_scatter(back.data[k], buffer[k] + r * p->inner * p->item[k], p->step[k], p->item[k],
                                     p->inner);
                    nnrt_map_next(p, &back);
                }
            }
    }
}

/* One copy, not one per map. */
__attribute__((noinline, noclone)) static void nnrt_map_run(const void *args, int64_t begin, int64_t end,
                                                            nnrt_map_row row, int can)
{
    const nnrt_map_args *p = args;
    nnrt_map_place at;
    if (p->whole) {
        row(p->data, p->step, p->inner, p->constant);
        return;
    }
    if (p->rows == 1) { /* the tasks' pieces are one stretch */
        int64_t start = begin * p->piece, stop = end * p->piece < p->inner ? end * p->piece : p->inner;
        for (int k = 0; k < p->operands; k++)
            at.data[k] = p->data[k] + start * p->step[k];
        nnrt_map_long(p, at.data, stop - start, row, can);
    } else if (p->pieces == 1) {
        int64_t first = begin * p->task_rows, last = end * p->task_rows < p->rows ? end * p->task_rows : p->rows;
        nnrt_map_seek(p, &at, first);
        if (p->inner < NNRT_MAP_SHORT) {
            int direct = p->inner >= NNRT_MAP_DIRECT;
            for (int k = 0; k < p->operands; k++)
                direct &= p->step[k] == p->item[k];
            if (!direct) {
                nnrt_map_short(p, &at, last - first, row);
                return;
            }
            for (int64_t r = first; r < last; r++) {
                row(at.data, p->step, p->inner, p->constant);
                nnrt_map_next(p, &at);
            }
            return;
        }
        for (int64_t r = first; r < last; r++) {
            nnrt_map_long(p, at.data, p->inner, row, can);
            nnrt_map_next(p, &at);
        }
    } else {
        for (int64_t t = begin; t < end; t++) {
            int64_t start = t % p->pieces * p->piece, n = p->inner - start < p->piece ? p->inner - start : p->piece;
            nnrt_map_seek(p, &at, t / p->pieces);
            for (int k = 0; k < p->operands; k++)
                at.data[k] += start * p->step[k];
            nnrt_map_long(p, at.data, n, row, can);
        }
    }
    if (p->stream)
        nnrt_stream_end();
}

/* ---- for kernel files: REAL and K(name) are set, see activation.c ---- */

#define MAP_PRAGMA(text) _Pragma(#text)
/* An output may be an input itself, never a shifted view of it. */
#define MAP_LOOP MAP_PRAGMA(GCC ivdep) for (int64_t i = 0; i < n; i++)
#define MAP_CONSTANTS                                                                                 \
    const REAL c0 = (REAL)c[0], c1 = (REAL)c[1], c2 = (REAL)c[2];                                     \
    (void)c0, (void)c1, (void)c2;
#define MAP_KERNEL(name, can)                                                                         \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch)                  \
    {                                                                                                 \
        nnrt_map_run(args, begin, end, K(name##_row), can);                                       \
    }
#define MAP_ROW(name)                                                                                 \
    static void K(name##_row)(char *const *d, const int64_t *step, int64_t n, const double *c)

/* out[i] = expression of x */
#define MAP1(name, ...)                                                                               \
    MAP_ROW(name)                                                                                     \
    {                                                                                                 \
        MAP_CONSTANTS                                                                                 \
        REAL *out = (REAL *)d[0];                                                                     \
        const REAL *in = (const REAL *)d[1];                                                          \
        MAP_LOOP { const REAL x = in[i]; out[i] = (__VA_ARGS__); }                                    \
    }                                                                                                 \
    MAP_KERNEL(name, 0)

/* out[i] = expression of dy and x; OUT is the output's type */
#define MAP2(name, ...)                                                                               \
    MAP_ROW(name)                                                                                     \
    {                                                                                                 \
        MAP_CONSTANTS                                                                                 \
        REAL *out = (REAL *)d[0];                                                                     \
        const REAL *g = (const REAL *)d[1], *in = (const REAL *)d[2];                                 \
        MAP_LOOP { const REAL dy = g[i], x = in[i]; out[i] = (__VA_ARGS__); }                         \
    }                                                                                                 \
    MAP_KERNEL(name, 0)

/* out[i] = expression of a and b, either of which may be one number along the row */
#define MAP_PAIR(name, OUT, ...)                                                                      \
    MAP_ROW(name)                                                                                     \
    {                                                                                                 \
        MAP_CONSTANTS                                                                                 \
        OUT *out = (OUT *)d[0];                                                                       \
        const REAL *pa = (const REAL *)d[1], *pb = (const REAL *)d[2];                                \
        if (step[1] == 0) {                                                                           \
            const REAL a = *pa;                                                                       \
            MAP_LOOP { const REAL b = pb[i]; out[i] = (__VA_ARGS__); }                                \
        } else if (step[2] == 0) {                                                                    \
            const REAL b = *pb;                                                                       \
            MAP_LOOP { const REAL a = pa[i]; out[i] = (__VA_ARGS__); }                                \
        } else                                                                                        \
            MAP_LOOP { const REAL a = pa[i], b = pb[i]; out[i] = (__VA_ARGS__); }                     \
    }                                                                                                 \
    MAP_KERNEL(name, MAP_REPEATS)

/* The gradients of a MAP_PAIR: out1[i] and out2[i] = expressions of dy, a and b */
#define MAP_PAIR_BACKWARD(name, first, second)                                                        \
    MAP_ROW(name)                                                                                     \
    {                                                                                                 \
        REAL *out1 = (REAL *)d[0], *out2 = (REAL *)d[1];                                              \
        const REAL *g = (const REAL *)d[2], *in1 = (const REAL *)d[3], *in2 = (const REAL *)d[4];     \
        MAP_LOOP                                                                                      \
        {                                                                                             \
            const REAL dy = g[i], a = in1[i], b = in2[i];                                             \
            out1[i] = (first);                                                                        \
            out2[i] = (second);                                                                       \
        }                                                                                             \
    }                                                                                                 \
    MAP_KERNEL(name, 0)

/* out[i] = expression of p, q and r */
#define MAP3(name, ...)                                                                               \
    MAP_ROW(name)                                                                                     \
    {                                                                                                 \
        MAP_CONSTANTS                                                                                 \
        REAL *out = (REAL *)d[0];                                                                     \
        const REAL *in1 = (const REAL *)d[1], *in2 = (const REAL *)d[2], *in3 = (const REAL *)d[3];   \
        MAP_LOOP { const REAL p = in1[i], q = in2[i], r = in3[i]; out[i] = (__VA_ARGS__); }           \
    }                                                                                                 \
    MAP_KERNEL(name, 0)

/* out[i] = expression of p, q, r and t */
#define MAP4(name, ...)                                                                               \
    MAP_ROW(name)                                                                                     \
    {                                                                                                 \
        MAP_CONSTANTS                                                                                 \
        REAL *out = (REAL *)d[0];                                                                     \
        const REAL *in1 = (const REAL *)d[1], *in2 = (const REAL *)d[2];                              \
        const REAL *in3 = (const REAL *)d[3], *in4 = (const REAL *)d[4];                              \
        MAP_LOOP { const REAL p = in1[i], q = in2[i], r = in3[i], t = in4[i]; out[i] = (__VA_ARGS__); } \
    }                                                                                                 \
    MAP_KERNEL(name, 0)

#endif
