cimport cython

from nnrt.tensor cimport Tensor, Version


@cython.freelist(8)
cdef class Batch:
    cdef public long long step
    cdef public object rest
    cdef public list tensors
    cdef public list states
    cdef public list params
    cdef public list grads
    cdef public list slots
    cdef public object stores


@cython.locals(
    p=Tensor, t=Tensor, dense=Tensor, last=Batch, b=Batch, step=cython.longlong, state=dict, batches=list,
    sparse=list, arrays=list, params=list, stateless=bint, i=cython.Py_ssize_t,
)
cpdef tuple gather(optimizer, dict group, tuple names, key)

@cython.locals(b=Batch, made=Batch)
cdef Batch _batch(list batches, long long step, rest, tuple names)

@cython.locals(t=Tensor, version=Version, state=dict)
cpdef finish(Batch batch)

@cython.locals(batches=list, sparse=list, work=list, batch=Batch)
cpdef update_all(optimizer)
