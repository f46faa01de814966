#ifndef NNRT_SHAPE_H
#define NNRT_SHAPE_H

#include "nnrt.h"

enum { NNRT_SHAPE_AXES = 32 };

/* out = x over `axes` loops, outermost first. The last is out's innermost axis (stride one element) and,
 * for `transpose`, the one before it is x's innermost. Strides are in elements. */
typedef struct {
    nnrt_work work;
    void *out;
    const void *x;
    int axes;
    int64_t size[NNRT_SHAPE_AXES], dst[NNRT_SHAPE_AXES], src[NNRT_SHAPE_AXES];
    int64_t blocks, rows; /* transpose: tasks per plane, rows of a task; else rows of a task */
} nnrt_shape_args;

enum { NNRT_SHAPE_JOINED = 64 };

/* out [outer, sum of the widths] = inputs [outer, width], all C-ordered; widths in bytes. */
typedef struct {
    nnrt_work work;
    char *out;
    int64_t outer, width; /* width: of out */
    int64_t rows;         /* of a task */
    int count;
    int each; /* 4 or 8: all widths, or 0 */
    const char *x[NNRT_SHAPE_JOINED];
    int64_t widths[NNRT_SHAPE_JOINED];
} nnrt_join_args;

/* out = x, both without gaps. */
typedef struct {
    nnrt_work work;
    char *out;
    const char *x;
    int64_t bytes;
    int stream; /* bypass the caches */
} nnrt_flat_args;
enum { NNRT_SHAPE_BYTES = 131072 }; /* of a task */

/* out = x [total rows, of which `rows` are a matrix, columns] left or right of a diagonal, else 0. */
typedef struct {
    nnrt_work work;
    char *out;
    const char *x;
    int64_t total, rows, columns;
    int64_t each;     /* bytes of an element */
    int64_t diagonal; /* of the first column beyond it */
    int64_t task;     /* rows of one */
    int upper;
} nnrt_triangle_args;

/* out [n, down, across, s, run] = x [n, rows, wide] between zeros, cut into blocks of s rows, from `top` rows and
 * `left` bytes before it on; wide, run and left in bytes. */
typedef struct {
    nnrt_work work;
    char *out;
    const char *x;
    int64_t total, down, across, s, run; /* total: n down */
    int64_t rows, wide, top, left;
    int64_t task; /* rows of blocks of one */
} nnrt_blocks_args;

/* Elements of a task: 128 or 256 kB each way, below which a second thread gains nothing. */
enum { NNRT_SHAPE_TASK = 32768 };

/* rows and transpose are indexed by the element's width: 4 or 8 bytes. */
typedef struct {
    nnrt_kernel rows[2], transpose[2], join[1], flat[1], triangle[1], blocks[1];
    nnrt_kernel half[2]; /* to float16, to float32; empty where CPUs need not have an instruction for it */
} nnrt_shape_table;

NNRT_TABLES(shape)

#endif
