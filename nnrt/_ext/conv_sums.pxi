# The filter's gradient: how its sums are cut into tasks. Included by conv.pyx.

cdef int gather(nnrt_conv_gather *g, const void *sums, int64_t chunks, int dtype) noexcept nogil:
    g.sums, g.chunks, g.length = sums, chunks, 64
    g.work.scratch = g.length * NNRT_CONV_ROWS * (4 if dtype == NNRT_F32 else 8)
    return launch_nogil(&table.dtype[dtype].gather, g,
                        g.groups * ceil_div(g.outputs, NNRT_CONV_ROWS) * ceil_div(g.taps * g.inputs, g.length))


cdef int sum_tiles(nnrt_conv_sums *a, nnrt_conv_gather *last, int dtype) noexcept nogil:
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, strips, chunks, each, room, box, whole, cin = a.x_channels // a.groups
    cdef int64_t per = ceil_div(a.y_channels // a.groups, a.gemm.nr), all_panels = a.groups * per
    cdef int rc
    a.joined = cin < NNRT_CONV_WIDTH + (a.groups > 1) and a.step[2] == 1
    a.width = min(cin, NNRT_CONV_WIDTH)
    a.cols = even(a.out[2], SUMMED + SUMMED // 2)
    a.rows = even(a.out[1], SUMMED // a.cols)
    a.blocks = a.images * a.out[0] * ceil_div(a.out[1], a.rows) * ceil_div(a.out[2], a.cols)
    each = volume(a.taps) * cin * a.y_channels * size
    # Groups read parts of x of their own: they make tasks, without sums to add up.
    whole = per if a.groups > 1 else 1
    strips = max(ceil_div(each, SUMS_BYTES), 8 if a.groups > 1 else 1)
    a.panels = ceil_div(ceil_div(all_panels, strips), whole) * whole
    strips = ceil_div(all_panels, a.panels)
    a.chunk = ceil_div(a.blocks, max(1, 8 // strips))
    chunks = ceil_div(a.blocks, a.chunk)
    room = chunks * (each + a.y_channels * size)
    a.sums = take(room)
    if a.sums == NULL:
        return -1
    if last.db != NULL:
        last.totals = a.totals = <char *>a.sums + chunks * each
    box = ((a.taps[0] - 1) * a.step[0] + 1) * ((a.rows - 1) * a.stride[1] + (a.taps[1] - 1) * a.step[1] + 1)
    box *= (a.cols - 1) * a.stride[2] + (a.taps[2] - 1) * a.step[2] + 1
    box *= ceil_div(a.panels, per) * ceil_div(cin, a.width) * a.width
    a.work.scratch = (a.rows * 8 + 63) // 64 * 64 + (a.panels * a.rows * a.cols * a.gemm.nr + box) * size
    rc = launch_nogil(&table.dtype[dtype].sums, a, chunks * strips)
    if rc == 0:
        rc = gather(last, a.sums, chunks, dtype)
    give(a.sums, room)
    return rc


cdef int sum_patches(nnrt_conv_sums *a, nnrt_conv_gather *last, int dtype) noexcept nogil:
    cdef nnrt_conv_patches q
    cdef nnrt_gemm g
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, pixels = volume(a.out), n = 0, count, room, i
    cdef int64_t cout = a.y_channels // a.groups, deep = volume(a.taps) * (a.x_channels // a.groups)
    cdef int64_t each = deep * a.y_channels * size
    cdef int rc = 0
    memset(&q, 0, sizeof(q))
    q.in_, q.out, q.taps, q.stride, q.step, q.first = a.in_, a.out, a.taps, a.stride, a.step, a.first
    q.x_channels = a.x_channels
    room = begin_patches(&q, a.images, a.groups, size)
    count = q.images
    a.sums = take(each)
    if q.patches == NULL or a.sums == NULL:
        rc = -1
    while n < a.images and rc == 0:
        q.images = min(count, a.images - n)
        q.x = <const char *>a.x + n * volume(a.in_) * a.x_channels * size
        for i in range(a.groups):
            rc = fill_patches(&q, i, dtype)
            if rc != 0:
                break
            memset(&g, 0, sizeof(g))
            g.batch, g.m, g.n, g.k = 1, deep, cout, q.images * pixels
            g.c, g.c_row = <char *>a.sums + i * deep * cout * size, cout
            g.a, g.a_row, g.a_col = q.patches, 1, deep
            g.b, g.b_row, g.b_col = <const char *>a.dy + (n * pixels * a.y_channels + i * cout) * size, a.y_channels, 1
            g.alpha, g.beta = 1, 1 if n else 0
            rc = multiply(&g, dtype)
            if rc != 0:
                break
        n += count
    if rc == 0:
        rc = gather(last, a.sums, 1, dtype)
    if q.patches != NULL:
        give(q.patches, room)
    if a.sums != NULL:
        give(a.sums, each)
    return rc


def filter_backward(ndarray dw not None, ndarray db, ndarray x not None, ndarray dy not None, stride, padding, dilation,
                    int64_t groups):
    """dw[O, C/G, KD, KH, KW] = the gradient of conv's filter, db[O] or None that of its bias; see nnrt._ref.conv."""
    cdef nnrt_conv_sums a
    cdef nnrt_conv_gather last
    cdef int dtype = dtype_code(dw), i, rc
    check("filter_backward", "dw", dw, dtype, 5)
    check("filter_backward", "x", x, dtype, 5)
    check("filter_backward", "dy", dy, dtype, 5)
    memset(&a, 0, sizeof(a))
    memset(&last, 0, sizeof(last))
    triple(a.stride, "filter_backward", "stride", stride, 1)
    triple(a.step, "filter_backward", "dilation", dilation, 1)
    triple(a.first, "filter_backward", "padding", padding, -(1 << 62))
    a.gemm = &linear_table().dtype[dtype]
    a.x, a.dy, a.images, a.groups = PyArray_DATA(x), PyArray_DATA(dy), PyArray_DIMS(x)[0], groups
    a.x_channels, a.y_channels = PyArray_DIMS(x)[4], PyArray_DIMS(dy)[4]
    for i in range(3):
        a.first[i] = -a.first[i]
        a.in_[i], a.out[i], a.taps[i] = PyArray_DIMS(x)[1 + i], PyArray_DIMS(dy)[1 + i], PyArray_DIMS(dw)[2 + i]
    if (PyArray_DIMS(dy)[0] != a.images or PyArray_DIMS(dw)[0] != a.y_channels or a.y_channels % groups
            or PyArray_DIMS(dw)[1] * groups != a.x_channels):
        raise ValueError(f"filter_backward: x {np.shape(x)} and dy {np.shape(dy)} do not give {np.shape(dw)} "
                         f"in {groups} groups")
    cdef bint tiled = a.out[2] >= (LEAST_COLUMNS if groups == 1 else 4) and PyArray_SIZE(dw) * PyArray_SIZE(x) > 0
    if db is not None:
        check("filter_backward", "db", db, dtype, 1)
        if not tiled or PyArray_SIZE(dy) == 0 or PyArray_SIZE(db) != a.y_channels:
            bias_grad(db, dy.reshape(-1, a.y_channels))
        else:
            last.db = PyArray_DATA(db)
    if PyArray_SIZE(dy) == 0 or PyArray_SIZE(x) == 0 or PyArray_SIZE(dw) == 0:
        dw[...] = 0
        return
    last.dw, last.groups, last.taps = PyArray_DATA(dw), groups, volume(a.taps)
    last.inputs, last.outputs = PyArray_DIMS(dw)[1], a.y_channels // groups
    last.work.bytes = 2.0 * PyArray_SIZE(dw) * (4 if dtype == NNRT_F32 else 8)
    span(&last.work.out[0], dw)
    a.work.flops = 2.0 * a.images * volume(a.out) * PyArray_SIZE(dw)
    a.work.bytes = <double>(PyArray_SIZE(x) + PyArray_SIZE(dy)) * (4 if dtype == NNRT_F32 else 8)
    with nogil:
        rc = sum_tiles(&a, &last, dtype) if tiled else sum_patches(&a, &last, dtype)
    if rc != 0:
        raise MemoryError(f"filter_backward: no memory for what {np.shape(dw)} needs besides")
