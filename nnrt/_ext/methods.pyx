"""Adds methods to a compiled class, which Python itself may not change."""

from cpython.object cimport PyObject, PyTypeObject

cdef extern from "Python.h":
    void PyType_Modified(PyTypeObject *type)
    ctypedef struct TypeObject "PyTypeObject":
        PyObject *tp_dict


def add_method(type cls, str name, function):
    """cls.name = function."""
    (<dict><object>(<TypeObject *>cls).tp_dict)[name] = function
    PyType_Modified(<PyTypeObject *>cls)
