# Packed filters: their size, the order of their taps, and the packing. Included by conv.pyx.

def filter_size(shape, int64_t groups, dtype, backward):
    """Elements of the packed filter of a weight of this shape."""
    cdef int code = 0 if np.dtype(dtype).itemsize == 4 else 1
    cdef int64_t o = shape[0] // groups, c = shape[1], taps = shape[2] * shape[3] * shape[4]
    return groups * (packed_count(taps * o, c, code) if backward else packed_count(taps * c, o, code))


cdef int64_t kind_of(int64_t k, int64_t stride, int64_t dilation) noexcept nogil:
    # Taps k of one class k d mod s meet the same outputs of a convolution with stride s.
    return k * dilation % stride


cdef void count_kinds(int64_t *same, int64_t *less, int64_t kind, int64_t size, int64_t stride,
                      int64_t dilation) noexcept nogil:
    # Taps of this class along one axis, and of the classes before it.
    cdef int64_t k
    same[0] = less[0] = 0
    for k in range(size):
        same[0] += kind_of(k, stride, dilation) == kind
        less[0] += kind_of(k, stride, dilation) < kind


cdef int64_t taps_before(const int64_t *kind, const int64_t *size, const int64_t *stride, const int64_t *dilation,
                         int64_t *same) noexcept nogil:
    # Taps of the classes packed before this one (in order of d, h, w), and the taps of this one along each axis.
    cdef int64_t less[3]
    cdef int i
    for i in range(3):
        count_kinds(&same[i], &less[i], kind[i], size[i], stride[i], dilation[i])
    return less[0] * size[1] * size[2] + same[0] * (less[1] * size[2] + same[1] * less[2])


cdef void order(int64_t *base, int64_t *count, int64_t *place, const int64_t *size, const int64_t *stride,
                const int64_t *dilation) noexcept nogil:
    # Of every tap in a backward filter: taps before its class, taps in it, and its place there. The last tap comes
    # first: it meets the first input.
    cdef int64_t tap[3]
    cdef int64_t kind[3]
    cdef int64_t same[3]
    cdef int64_t after[3]
    cdef int64_t t, k
    cdef int i
    for t in range(volume(size)):
        tap[0], tap[1], tap[2] = t // (size[1] * size[2]), t // size[2] % size[1], t % size[2]
        for i in range(3):
            kind[i], after[i] = kind_of(tap[i], stride[i], dilation[i]), 0
            for k in range(tap[i] + 1, size[i]):
                after[i] += kind_of(k, stride[i], dilation[i]) == kind[i]
        base[t] = taps_before(kind, size, stride, dilation, same)
        count[t] = volume(same)
        place[t] = (after[0] * same[1] + after[1]) * same[2] + after[2]


def pack_filter(ndarray p not None, ndarray w not None, stride, dilation, int64_t groups, backward):
    """The weight w[O, C/G, KD, KH, KW] as panels in the order in which the tiles read them.

    Backward, the taps that meet the same outputs of a strided convolution form a class of their own.
    """
    cdef nnrt_conv_pack a
    cdef int dtype = dtype_code(w), rc
    cdef int64_t size[3]
    cdef int64_t s[3]
    cdef int64_t d[3]
    cdef int64_t taps, o, c, i
    cdef ndarray tables
    check("pack_filter", "w", w, dtype, 5)
    check("pack_filter", "p", p, dtype, 1)
    triple(s, "pack_filter", "stride", stride, 1)
    triple(d, "pack_filter", "dilation", dilation, 1)
    if PyArray_SIZE(p) != filter_size(np.shape(w), groups, p.dtype, backward):
        raise ValueError(f"pack_filter: p has {PyArray_SIZE(p)} elements, "
                         f"wanted {filter_size(np.shape(w), groups, p.dtype, backward)}")
    if PyArray_SIZE(w) == 0:
        return
    for i in range(3):
        size[i] = PyArray_DIMS(w)[2 + i]
    taps = volume(size)
    o, c = PyArray_DIMS(w)[0] // groups, PyArray_DIMS(w)[1]
    memset(&a, 0, sizeof(a))
    a.dst, a.w = PyArray_DATA(p), PyArray_DATA(w)
    a.groups, a.taps = groups, taps
    a.group = o * c * taps
    if backward:
        a.inputs, a.outputs, a.input, a.output = o, c, c * taps, taps
    else:
        a.inputs, a.outputs, a.input, a.output = c, o, taps, c * taps
    tables = np.empty((3, taps), np.int64)
    cdef int64_t *base = <int64_t *>PyArray_DATA(tables)
    if not backward:
        s[0] = s[1] = s[2] = 1
    order(base, base + taps, base + 2 * taps, size, s, d)
    for i in range(taps):
        base[i] *= groups * packed_count(a.inputs, a.outputs, dtype)
        if not backward:
            base[2 * taps + i] = i
    a.base, a.count, a.place = base, base + taps, base + 2 * taps
    a.work.bytes = 2.0 * PyArray_SIZE(w) * (4 if dtype == NNRT_F32 else 8)
    with nogil:
        rc = launch_nogil(&table.dtype[dtype].pack, &a, groups * ceil_div(a.outputs, linear_table().dtype[dtype].nr))
    if rc != 0:
        raise MemoryError("pack_filter: out of memory")
