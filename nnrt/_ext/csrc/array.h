/* numpy arrays that live in the caching allocator and own their memory there
 * (NEP 49). Included by runtime.pyx alone, after import_array(). */
#ifndef NNRT_ARRAY_H
#define NNRT_ARRAY_H

#include <Python.h>
#include <numpy/arrayobject.h>
#include <string.h>

#include "memory.h"

static void *nnrt_np_malloc(void *ctx, size_t bytes) { return nnrt_alloc(bytes); }

static void *nnrt_np_calloc(void *ctx, size_t count, size_t each)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, each, &bytes))
        return NULL;
    void *block = nnrt_alloc(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

static void *nnrt_np_realloc(void *ctx, void *block, size_t bytes) { return nnrt_realloc(block, bytes); }

/* Numpy's idea of the size is off for empty arrays; the block knows its own. */
static void nnrt_np_free(void *ctx, void *block, size_t bytes) { nnrt_free(block, bytes); }

static PyDataMem_Handler nnrt_np_handler = {
    "nnrt", 1, {NULL, nnrt_np_malloc, nnrt_np_calloc, nnrt_np_realloc, nnrt_np_free}};
static PyObject *nnrt_np_capsule;

static int nnrt_np_init(void)
{
    nnrt_np_capsule = PyCapsule_New(&nnrt_np_handler, "mem_handler", NULL);
    return nnrt_np_capsule ? 0 : -1;
}

/* Small arrays that died with their tensor are kept whole: numpy takes 900 instructions to make one and to free it, a
 * third of a small sum. A place holds arrays of one shape and dtype; all of this happens under the GIL. */
#ifdef __SANITIZE_ADDRESS__
enum { KEPT_PLACES = 1, KEPT_EACH = 1, KEPT_BYTES = -1 }; /* none: the sanitizer then sees the end of every array */
#else
enum { KEPT_PLACES = 16, KEPT_EACH = 4, KEPT_BYTES = 4096 };
#endif
typedef struct {
    int count;
    PyArrayObject *arrays[KEPT_EACH];
} nnrt_np_place;
static nnrt_np_place nnrt_np_places[KEPT_PLACES];
static int nnrt_np_keeps = 1;

static nnrt_np_place *nnrt_np_find(const PyArray_Descr *descr, int nd, const npy_intp *dims)
{
    npy_uintp at = (npy_uintp)descr->type_num + (npy_uintp)nd;
    for (int i = 0; i < nd; i++)
        at = at * 31 + (npy_uintp)dims[i];
    return &nnrt_np_places[(at ^ at >> 4 ^ at >> 8) % KEPT_PLACES];
}

static int nnrt_np_holds(const nnrt_np_place *place, const PyArray_Descr *descr, int nd, const npy_intp *dims)
{
    PyArrayObject *a = place->arrays[0];
    if (!place->count || PyArray_DESCR(a) != descr || PyArray_NDIM(a) != nd)
        return 0;
    for (int i = 0; i < nd; i++)
        if (PyArray_DIM(a, i) != dims[i])
            return 0;
    return 1;
}

static void nnrt_np_drop(nnrt_np_place *place)
{
    while (place->count) /* freeing an array runs nobody's code */
        Py_DECREF(place->arrays[--place->count]);
}

static void nnrt_np_drop_all(void)
{
    for (int i = 0; i < KEPT_PLACES; i++)
        nnrt_np_drop(&nnrt_np_places[i]);
}

/* A dying tensor's array: kept where the tensor alone refers to it and it is as nnrt_np_new made it. */
static void nnrt_np_keep(PyObject *object)
{
    PyArrayObject *a = (PyArrayObject *)object;
    const PyArrayObject_fields *f = (const PyArrayObject_fields *)object;
    const int made = NPY_ARRAY_CARRAY | NPY_ARRAY_OWNDATA;
    if (Py_TYPE(object) != &PyArray_Type || Py_REFCNT(object) != 1 || f->mem_handler != nnrt_np_capsule
        || (f->flags & ~NPY_ARRAY_F_CONTIGUOUS) != made || f->weakreflist || f->_buffer_info || f->nd == 0
        || !PyTypeNum_ISNUMBER(f->descr->type_num) || PyArray_NBYTES(a) > KEPT_BYTES || !nnrt_np_keeps)
        return;
    nnrt_np_place *place = nnrt_np_find(f->descr, f->nd, f->dimensions);
    if (place->count && !nnrt_np_holds(place, f->descr, f->nd, f->dimensions))
        nnrt_np_drop(place);
    if (place->count < KEPT_EACH) {
        Py_INCREF(object);
        place->arrays[place->count++] = a;
    }
}

/* What is kept counts as cached. */
static void nnrt_np_count(nnrt_memory_stats *stats)
{
    for (int i = 0; i < KEPT_PLACES; i++)
        for (int j = 0; j < nnrt_np_places[i].count; j++) {
            int64_t bytes = nnrt_size(PyArray_DATA(nnrt_np_places[i].arrays[j]));
            stats->allocated -= bytes;
            stats->cached += bytes;
        }
}

/* A new array with its own memory; strides NULL means C order. */
static PyObject *nnrt_np_new(PyArray_Descr *descr, int nd, const npy_intp *dims, const npy_intp *strides,
                             int zero)
{
    npy_intp each = PyDataType_ELSIZE(descr), bytes = each;
    int empty = 0;
    if (!strides && !zero) {
        nnrt_np_place *place = nnrt_np_find(descr, nd, dims);
        if (nnrt_np_holds(place, descr, nd, dims))
            return (PyObject *)place->arrays[--place->count];
    }
    if (each == 0 || PyDataType_HASSUBARRAY(descr)) {
        PyErr_Format(PyExc_TypeError, "empty: dtype %R has no fixed item of its own", descr);
        return NULL;
    }
    for (int i = 0; i < nd; i++) {
        if (dims[i] < 0) {
            PyErr_Format(PyExc_ValueError, "empty: dimension %d of the shape is negative: %zd", i,
                         (Py_ssize_t)dims[i]);
            return NULL;
        }
        if (dims[i] == 0)
            empty = 1;
        else if (__builtin_mul_overflow(bytes, dims[i], &bytes)) {
            PyErr_Format(PyExc_ValueError, "empty: the shape has more bytes than can be addressed (%d axes of %R)",
                         nd, descr);
            return NULL;
        }
    }
    if (empty)
        bytes = each;
    void *data = nnrt_alloc((size_t)bytes);
    if (!data) {
        PyErr_Format(PyExc_MemoryError, "nnrt: no memory for an array of %zd bytes", (Py_ssize_t)bytes);
        return NULL;
    }
    /* Object items must start as NULL, which numpy reads as None. */
    if (zero || PyDataType_REFCHK(descr))
        memset(data, 0, (size_t)bytes);
    Py_INCREF(descr); /* the array takes this one */
    PyArrayObject *array = (PyArrayObject *)PyArray_NewFromDescr(
        &PyArray_Type, descr, nd, (npy_intp *)dims, (npy_intp *)strides, data, NPY_ARRAY_CARRAY, NULL);
    if (!array) {
        nnrt_free(data, (size_t)bytes);
        return NULL;
    }
    PyArray_ENABLEFLAGS(array, NPY_ARRAY_OWNDATA);
    Py_INCREF(nnrt_np_capsule);
    ((PyArrayObject_fields *)array)->mem_handler = nnrt_np_capsule;
    return (PyObject *)array;
}

/* Axes in order of falling stride, equal strides in order of the axes: numpy's order K. */
static void nnrt_np_order(const PyArrayObject *a, int *axes)
{
    int nd = PyArray_NDIM(a);
    const npy_intp *strides = PyArray_STRIDES((PyArrayObject *)a);
    for (int i = 0; i < nd; i++) {
        npy_intp s = strides[i] < 0 ? -strides[i] : strides[i];
        int j = i;
        for (; j > 0; j--) {
            npy_intp before = strides[axes[j - 1]];
            if ((before < 0 ? -before : before) >= s)
                break;
            axes[j] = axes[j - 1];
        }
        axes[j] = i;
    }
}

static PyObject *nnrt_np_like(PyArrayObject *a)
{
    int nd = PyArray_NDIM(a), axes[NPY_MAXDIMS];
    npy_intp strides[NPY_MAXDIMS];
    PyArray_Descr *descr = PyArray_DESCR(a);
    if (PyArray_IS_C_CONTIGUOUS(a))
        return nnrt_np_new(descr, nd, PyArray_DIMS(a), NULL, 0);
    nnrt_np_order(a, axes);
    npy_intp stride = PyDataType_ELSIZE(descr);
    for (int i = nd - 1; i >= 0; i--) {
        strides[axes[i]] = stride;
        stride *= PyArray_DIM(a, axes[i]);
    }
    return nnrt_np_new(descr, nd, PyArray_DIMS(a), strides, 0);
}

/* Is memory filled without gaps in some order of the axes? */
static int nnrt_np_dense(const PyArrayObject *a)
{
    int nd = PyArray_NDIM(a), axes[NPY_MAXDIMS];
    if (!PyArray_ISALIGNED((PyArrayObject *)a))
        return 0;
    if (PyArray_FLAGS((PyArrayObject *)a) & (NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS))
        return 1;
    nnrt_np_order(a, axes);
    npy_intp stride = PyArray_ITEMSIZE((PyArrayObject *)a);
    for (int i = nd - 1; i >= 0; i--) {
        npy_intp dim = PyArray_DIM((PyArrayObject *)a, axes[i]);
        if (dim == 1)
            continue; /* its stride is never used */
        if (PyArray_STRIDE((PyArrayObject *)a, axes[i]) != stride)
            return 0;
        stride *= dim;
    }
    return 1;
}

/* A copy in C order in our memory. */
static PyObject *nnrt_np_copy(PyArrayObject *a)
{
    PyArray_Descr *descr = PyArray_DESCR(a);
    PyObject *copy = nnrt_np_new(descr, PyArray_NDIM(a), PyArray_DIMS(a), NULL, 0);
    if (copy && PyArray_CopyInto((PyArrayObject *)copy, a) < 0) {
        Py_DECREF(copy);
        return NULL;
    }
    return copy;
}

/* A copy in the same memory order, in our memory. */
static PyObject *nnrt_np_clone(PyArrayObject *a)
{
    PyObject *copy = nnrt_np_like(a);
    if (!copy)
        return NULL;
    if (PyArray_IS_C_CONTIGUOUS(a) && !PyDataType_REFCHK(PyArray_DESCR(a)))
        memcpy(PyArray_DATA((PyArrayObject *)copy), PyArray_DATA(a), (size_t)PyArray_NBYTES(a));
    else if (PyArray_CopyInto((PyArrayObject *)copy, a) < 0) {
        Py_DECREF(copy);
        return NULL;
    }
    return copy;
}

/* A view of a's memory from `offset` bytes after its first element. */
static PyObject *nnrt_np_strided(PyArrayObject *a, npy_intp offset, int nd, npy_intp *dims, npy_intp *strides,
                                 int writeable)
{
    PyArray_Descr *descr = PyArray_DESCR(a);
    int flags = writeable && PyArray_ISWRITEABLE(a) ? NPY_ARRAY_WRITEABLE : 0;
    Py_INCREF(descr); /* the view takes this one */
    PyObject *view =
        PyArray_NewFromDescr(&PyArray_Type, descr, nd, dims, strides, PyArray_BYTES(a) + offset, flags, NULL);
    if (!view) return NULL;
    Py_INCREF(a); /* and its base this one */
    if (PyArray_SetBaseObject((PyArrayObject *)view, (PyObject *)a) < 0) {
        Py_DECREF(view);
        return NULL;
    }
    return view;
}

#endif
