cimport cython

from nnrt.tensor cimport Tensor, Version, wrap


@cython.freelist(256)
@cython.trashcan(True)
cdef class Node:
    cdef public object backward
    cdef public tuple targets
    cdef public tuple saved_arrays
    cdef public tuple versions
    cdef public long long order
    cdef public int outputs
    cdef public object hooks
    cdef public object trace


@cython.freelist(32)
cdef class Output:
    cdef public Node node
    cdef public int index


@cython.locals(t=Tensor, x=Tensor)
cpdef Tensor record(out, backward, tuple inputs, tuple saved=*)
cdef long long _made
cdef bint _anomaly

@cython.locals(out=Tensor, version=Version, position=cython.int)
cdef _save(Node node, tuple outs, tuple saved)
@cython.locals(node=Node, made=Output, out=Tensor, index=cython.int)
cpdef attach(tuple outs, backward, tuple inputs, tuple saved)
cpdef Version version_of(Tensor t)
cdef object target_of(Tensor t)

@cython.locals(node=Node, i=cython.int, index=cython.int)
cpdef walk(list roots, list grads, bint retain_graph, dict wanted)

@cython.locals(node=Node)
cdef deliver(dict pending, list queue, target, g, bint owned, dict wanted)
@cython.locals(held=Tensor)
cdef accumulate(Tensor leaf, g, bint owned)
@cython.locals(t=Tensor, position=cython.int)
cdef tuple _roots(op, tensors, grads, create_graph)
cdef _root_gradient(op, Tensor t, g)
