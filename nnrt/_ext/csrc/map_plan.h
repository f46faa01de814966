/* Planning of maps from numpy arrays. Included by maps.pyx alone, after import_array(). */
#ifndef NNRT_MAP_PLAN_H
#define NNRT_MAP_PLAN_H

#include <Python.h>
#include <numpy/arrayobject.h>

#include "map.h"

/* Elements per task: 128 kB of floats where a map does little per element, less where it does
 * much. 2 us of pool against 10 us of work at least. */
enum { NNRT_MAP_TASK_LIGHT = 32768, NNRT_MAP_TASK_HEAVY = 8192 };
/* From so many operations per element on nothing is streamed from a buffer: plain stores wait behind
 * the arithmetic, 10% (gelu) to 25% (sigmoid) faster at 25 and 100 MB, on one core or two. Rows that
 * stream as they go are faster still. */
enum { NNRT_MAP_BUSY = 20 };

static int nnrt_map_supported(PyArrayObject *a, int num)
{
    return PyArray_TYPE(a) == num && PyArray_ISBEHAVED_RO(a);
}

/* Sorts the axes by the output's strides and merges those that are one in every operand. */
static void nnrt_map_axes(nnrt_map_args *p, int nd, const npy_intp *dims, PyObject *const *objects)
{
    int64_t size[NNRT_MAP_AXES], stride[NNRT_MAP_AXES][NNRT_MAP_OPERANDS];
    int axes = 0, ops = p->operands;
    for (int i = 0; i < nd; i++) {
        int64_t s[NNRT_MAP_OPERANDS];
        if (dims[i] == 1)
            continue;
        for (int k = 0; k < ops; k++) {
            s[k] = 0;
            if (PyArray_Check(objects[k])) {
                PyArrayObject *a = (PyArrayObject *)objects[k];
                int j = i - (nd - PyArray_NDIM(a));
                if (j >= 0 && PyArray_DIM(a, j) != 1)
                    s[k] = PyArray_STRIDE(a, j);
            }
        }
        int at = axes++;
        int64_t key = s[0] < 0 ? -s[0] : s[0];
        for (; at > 0; at--) {
            int64_t before = stride[at - 1][0] < 0 ? -stride[at - 1][0] : stride[at - 1][0];
            if (before >= key)
                break;
            size[at] = size[at - 1];
            memcpy(stride[at], stride[at - 1], sizeof stride[at]);
        }
        size[at] = dims[i];
        memcpy(stride[at], s, sizeof s);
    }
    int kept = 0;
    for (int a = 0; a < axes; a++) {
        int merges = kept > 0;
        for (int k = 0; k < ops && merges; k++)
            merges = p->stride[kept - 1][k] == stride[a][k] * size[a];
        if (merges)
            p->size[kept - 1] *= size[a];
        else
            p->size[kept++] = size[a];
        memcpy(p->stride[kept - 1], stride[a], sizeof stride[a]);
    }
    if (kept == 0) { /* one element */
        p->size[0] = 1;
        for (int k = 0; k < ops; k++)
            p->stride[0][k] = p->item[k];
        kept = 1;
    }
    p->axes = kept - 1;
    p->inner = p->size[kept - 1];
    memcpy(p->step, p->stride[kept - 1], sizeof p->step);
    for (int k = 0; k < ops; k++) {
        int64_t want = p->item[k];
        p->flat[k] = p->step[k] == want;
        for (int a = p->axes - 1; a >= 0; a--) {
            want *= p->size[a + 1];
            p->flat[k] &= p->stride[a][k] == want;
        }
    }
}

/* Arrays of one shape and dtype without gaps, for one task: what small tensors meet is planned in a
 * quarter of the time. Returns 1, or 0 having planned nothing. */
static int nnrt_map_plan_small(nnrt_map_args *p, PyObject *const *objects, int operands, int outs, double flops,
                               int num)
{
    PyArrayObject *out = (PyArrayObject *)objects[0];
    const int nd = PyArray_NDIM(out);
    const int64_t width = num == NPY_FLOAT64 ? 8 : 4;
    int64_t n = 1;
    for (int i = 0; i < nd; i++)
        n *= PyArray_DIM(out, i);
    if (n == 0 || n > NNRT_MAP_TASK_HEAVY)
        return 0;
    for (int k = 0; k < operands; k++) {
        PyArrayObject *a = (PyArrayObject *)objects[k];
        if (!PyArray_Check(objects[k]) || PyArray_TYPE(a) != num || PyArray_NDIM(a) != nd || !PyArray_ISCARRAY_RO(a))
            return 0;
        for (int i = 0; i < nd; i++)
            if (PyArray_DIM(a, i) != PyArray_DIM(out, i))
                return 0;
        p->data[k] = PyArray_BYTES(a);
        p->step[k] = width;
        if (k < 2) {
            p->work.out[k].data = p->data[k];
            p->work.out[k].count = k < outs ? n : 0;
            p->work.out[k].dtype = num == NPY_FLOAT64 ? NNRT_F64 : NNRT_F32;
        }
    }
    p->whole = 1;
    p->inner = n;
    p->work.flops = flops * (double)n;
    p->work.bytes = (double)(n * width * operands);
    p->work.scratch = 0;
    p->work.nan = NULL;
    return 1;
}

/* The NaN check of outputs with gaps: row by row. */
static int nnrt_map_nan(const void *args)
{
    const nnrt_map_args *p = args;
    for (int k = 0; k < p->outs; k++)
        for (int64_t row = 0; row < p->rows; row++) {
            const char *x = p->data[k];
            int64_t i = row;
            for (int a = p->axes - 1; a >= 0; a--) {
                x += i % p->size[a] * p->stride[a][k];
                i /= p->size[a];
            }
            for (i = 0; i < p->inner; i++, x += p->step[k])
                if (p->item[k] == 4 ? *(const float *)x != *(const float *)x
                                    : p->item[k] == 8 && *(const double *)x != *(const double *)x)
                    return 1;
        }
    return 0;
}

/* Fills p for a map over `objects`: arrays, or numbers among the inputs. bools: bit k set where
 * operand k is of dtype bool. Returns the number of tasks, *dtype being NNRT_F32 or NNRT_F64;
 * -1 for dtypes or alignments that only the specification handles; -2 with an exception set. */
static int64_t nnrt_map_plan(nnrt_map_args *p, PyObject *const *objects, int operands, int outs, unsigned bools,
                             double flops, int *dtype)
{
    PyArrayObject *out = (PyArrayObject *)objects[0];
    int num = -1, same = PyArray_IS_C_CONTIGUOUS(out), nd = PyArray_NDIM(out);
    const npy_intp *dims = PyArray_DIMS(out);
    int repeated[NNRT_MAP_OPERANDS]; /* is the operand one number for the whole map? */
    for (int k = 0; k < operands && num < 0; k++)
        if (!(bools >> k & 1) && PyArray_Check(objects[k]))
            num = PyArray_TYPE((PyArrayObject *)objects[k]);
    if ((num != NPY_FLOAT32 && num != NPY_FLOAT64) || nd > NNRT_MAP_AXES)
        return -1;
    *dtype = num == NPY_FLOAT64 ? NNRT_F64 : NNRT_F32;
    if (!bools && nnrt_map_plan_small(p, objects, operands, outs, flops, num))
        return 1;
    int64_t n = PyArray_SIZE(out);
    p->operands = operands;
    p->outs = outs;
    int64_t width = num == NPY_FLOAT64 ? 8 : 4, bytes = 0;
    for (int k = 0; k < operands; k++) {
        PyObject *object = objects[k];
        p->item[k] = bools >> k & 1 ? 1 : width;
        if (PyArray_Check(object)) {
            PyArrayObject *a = (PyArrayObject *)object;
            if (!nnrt_map_supported(a, bools >> k & 1 ? NPY_BOOL : num))
                return -1;
            p->data[k] = PyArray_BYTES(a);
            bytes += PyArray_NBYTES(a);
            repeated[k] = k >= outs && n != 1 && PyArray_SIZE(a) == 1;
            same = same
                   && (repeated[k]
                       || (PyArray_NDIM(a) == nd && PyArray_IS_C_CONTIGUOUS(a)
                           && PyArray_CompareLists(PyArray_DIMS(a), dims, nd)));
        } else {
            double value = PyFloat_AsDouble(object);
            if (value == -1 && PyErr_Occurred())
                return -2;
            if (bools >> k & 1)
                *(char *)&p->number[k] = value != 0;
            else if (width == 8)
                p->number[k] = value;
            else
                *(float *)&p->number[k] = (float)value;
            p->data[k] = (char *)&p->number[k];
            repeated[k] = 1;
        }
        if (k < 2)
            p->work.out[k].count = 0;
    }
    if (n == 0)
        return 0;
    int64_t task = flops > 4 ? NNRT_MAP_TASK_HEAVY : NNRT_MAP_TASK_LIGHT;
    if (same) {
        p->axes = 0;
        p->inner = n;
        for (int k = 0; k < operands; k++)
            p->step[k] = repeated[k] ? 0 : p->item[k];
    } else
        nnrt_map_axes(p, nd, dims, objects);
    p->whole = 0;
    p->rows = n / p->inner;
    p->piece = task;
    p->pieces = (p->inner + task - 1) / task;
    p->task_rows = task / p->inner > 0 ? task / p->inner : 1;
    p->stream = p->rows == 1 && n * p->item[0] >= NNRT_STREAM_BYTES;
    for (int k = 0; k < outs; k++)
        p->stream &= p->step[k] == p->item[k] && (uintptr_t)p->data[k] % 64 == 0;
    p->stream += p->stream && flops >= NNRT_MAP_BUSY;
    p->work.flops = flops * (double)n;
    p->work.bytes = (double)bytes;
    p->work.scratch = 0;
    p->work.nan = NULL;
    for (int k = 0; k < outs; k++)
        if (!same && !(p->flat[k] || bools >> k & 1))
            p->work.nan = nnrt_map_nan;
        else if (!(bools >> k & 1)) {
            p->work.out[k].data = p->data[k];
            p->work.out[k].count = n;
            p->work.out[k].dtype = *dtype;
        }
    return p->rows == 1 ? p->pieces : p->pieces > 1 ? p->rows * p->pieces : (p->rows + p->task_rows - 1) / p->task_rows;
}

#endif
