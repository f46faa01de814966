cimport cython

from nnrt._ext.runtime cimport alike, copy, empty, empty_like, grad_enabled, lone
from nnrt.tensor cimport Tensor, Version, wrap


cdef class Node:
    cdef public object backward
    cdef public tuple targets
    cdef public tuple saved_arrays
    cdef public tuple versions
    cdef public long long order
    cdef public int outputs
    cdef public bint last
    cdef public bint spare
    cdef public bint over
    cdef public object hooks
    cdef public object trace


cdef class Output:
    cdef public Node node
    cdef public int index


@cython.locals(t=Tensor)
cpdef Tensor record(out, backward, tuple inputs, tuple saved=*)
@cython.locals(x=Tensor)
cpdef bint on_tape(tuple inputs)
cpdef bint tracked(Tensor a, Tensor b)
cdef long long _made
cdef bint _watched

@cython.locals(out=Tensor, version=Version, position=cython.int)
cdef _save(Node node, tuple outs, tuple saved)
@cython.locals(node=Node, made=Output, out=Tensor, index=cython.int)
cpdef attach(tuple outs, backward, tuple inputs, tuple saved)
cpdef Version version_of(Tensor t)
cpdef target_of(Tensor t)

@cython.final
cdef class Walk:
    cdef bint retain_graph
    cdef dict wanted
    cdef Node node
    cdef object dys
    cdef list queue
    cdef dict pending
    cdef dict hooked

    @cython.locals(node=Node)
    cdef run(self)
    @cython.locals(targets=tuple, i=cython.int, j=cython.int, count=cython.int, index=cython.int, owned=cython.bint)
    cdef visit(self, Node node, dys)
    @cython.locals(node=Node, index=cython.int)
    cdef deliver(self, target, g, bint owned)
    cdef wait(self, Node node, dys)
    cdef deliver_to_leaf(self, Tensor leaf, g, bint owned)


@cython.locals(walk=Walk, t=Tensor)
cpdef walk_from(str op, tensors, grads, bint retain_graph, create_graph, dict wanted)
cdef _met(Node node, int index, dys, g, bint owned)
cdef added(a, b, bint owned=*)
@cython.locals(held=Tensor)
cdef accumulate(Tensor leaf, g, bint owned)
cdef _root_gradient(str op, Tensor t, g)
cdef _root(str op, Tensor t)
