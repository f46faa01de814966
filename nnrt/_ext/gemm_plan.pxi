# How a product is cut into tasks, by shapes and strides alone. Included by linear.pyx.
#
#     m = 1, b contiguous along n         axpy: b's rows streamed once
#     a and b contiguous along k, m or n
#         small                           dot: nothing is copied
#     otherwise                           tiles: register tiles, b in place or packed into panels,
#                                         a in place or packed per task, long k split into parts

# One core's time for a multiply-add, and for an element from the last-level cache, in ns
# (109 GFLOP/s and 25 GB/s were measured), and the work below which a second thread costs more
# than it brings.
cdef double MAC_NS = 0.02, ELEMENT_NS = 0.16, SERIAL_NS = 5e3
# From this many tiles of rows on, a panel of b is copied before use.
cdef int64_t PANEL_TILES = 3
# Many rows over few panels: tasks are strips of rows, and b is packed by a launch of its own, because
# each of them wants it. Else they are strips of columns, and each packs its own panels: no cache line
# of them passes from core to core.
cdef int64_t STRIP_TILES = 24, STRIP_PANELS = 16
# Rows of a that stay in L2: this many bytes.
cdef int64_t BLOCK_BYTES = 256 << 10
# Copied at a time: so many bytes of each row of b, 512 kB in all where k is 1024 or more, and so many panels at most.
cdef int64_t GROUP_BYTES = 512, PANELS = 8
# Lines of a that are a multiple of this many bytes apart compete for the same places in the caches.
cdef int64_t A_CLASH = 2048
# Of an a whose rows lie a multiple of so many bytes apart, all in one set of L1, a tile takes so many rows at most.
cdef int64_t ROOM_ROWS = 11, ROOM_BYTES = 4096
# A transposed a is copied where so many panels of b use it (half as many where its rows clash, or where it would be
# SLICED). In place, its tile takes a cache line for each k, so that k is cut where its rows leave the pages that the
# TLB of L1 holds. Fewer strips of columns than the last have their rows cut, though each task packs b again.
cdef int64_t TURNED_PANELS = 33, TURNED_BYTES = 192 << 10, TURNED_STRIPS = 8
# Such a product in place, of so many elements of c, goes slice by slice along k (dW[128, 128] over 1024 rows loses).
cdef int64_t SLICE = 256, SLICED = 1 << 15
# Dots beat tiles over packed b up to this many rows (or columns) of c: measured at k = 1024, where
# 16 rows of a still pass through L1 for every four columns.
cdef int64_t DOT_LINES = 16
# k that is at least so long for a c of at most so many bytes is cut among the tasks, with this much for their sums.
cdef int64_t TALL_K = 2048, TALL_BYTES = 1 << 20, PARTIAL_BYTES = 8 << 20
# Few rows over such a k: b passes in whole rows, up to this many panels wide and this many bytes at a time.
cdef int64_t ROW_PANELS = 128, ROW_BYTES = 2 << 20
# A row times a matrix of so many elements is cut along k.
cdef double AXPY_MACS = 1 << 18
# So few rows, in whole vectors, times a weight that is used transposed: the product is turned.
cdef int64_t FEW_ROWS = 64
# Packed b beyond this many bytes is made and used in column parts.
cdef int64_t PACKED_BYTES = 64 << 20


cdef inline int64_t clamp(double x, int64_t low, int64_t high) noexcept nogil:
    return low if x < low else high if x > high else <int64_t>x


cdef int multiply(nnrt_gemm *g, int dtype) noexcept nogil:
    cdef const nnrt_gemm_ops *ops = &table.dtype[dtype]
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8
    cdef double macs = <double>g.batch * g.m * g.n * g.k
    cdef double elements = <double>g.batch * (g.m * g.k + g.k * g.n + g.m * g.n)
    cdef bint serial
    cdef int activation
    if g.batch == 0 or g.m == 0 or g.n == 0:
        return 0
    g.work.flops = 2 * macs
    g.work.bytes = elements * size
    g.work.nan, g.work.out[0].dtype = gemm_nan, dtype
    g.splits, g.split, g.depth, g.partial = 1, g.k, g.k, NULL
    if g.k == 0 or g.alpha == 0:
        g.alpha = 0
        return finish(g, ops)
    serial = macs * MAC_NS < SERIAL_NS and elements * ELEMENT_NS < SERIAL_NS
    if g.row_bias != NULL or (g.residual != NULL and (g.beta != 0 or g.residual_col != 1)):
        # More terms than the tile's epilogue takes: all but the product first.
        activation, g.activation = g.activation, NNRT_ACT_NONE
        if finish(g, ops) != 0:
            return -1
        g.activation, g.beta = activation, 1
        g.bias = g.row_bias = g.residual = NULL
    if not g.packed_b:
        if g.m == 1 and g.b_col == 1 and (g.n > 1 or g.a_col != 1 or g.b_row != 1):
            return axpy(g, ops, size, serial)
        if g.m <= DOT_LINES or g.n <= DOT_LINES:
            if g.a_col == 1 and g.b_row == 1:
                return dot(g, ops, size, serial)
            if g.batch == 1 and (g.m <= 4 and g.b_row == 1 or g.n <= 4 and g.a_col == 1):
                return dot_gathered(g, ops, size, serial)
    return tiles(g, ops, size, serial)


cdef int gemm_nan(const void *args) noexcept nogil:
    cdef const nnrt_gemm *g = <const nnrt_gemm *>args
    cdef nnrt_span row
    cdef int64_t i, j
    row.count, row.dtype = g.n, g.work.out[0].dtype
    for i in range(g.batch):
        for j in range(g.m):
            row.data = <const char *>g.c + (i * g.c_batch + j * g.c_row) * (4 if row.dtype == NNRT_F32 else 8)
            if has_nan(&row):
                return 1
    return 0


cdef int finish(nnrt_gemm *g, const nnrt_gemm_ops *ops) noexcept nogil:
    # 16384 elements a task, those of all sums together: the tile of work of elementwise kernels.
    cdef int64_t rows = g.rows, cols = g.cols
    g.cols = min(g.n, 16384)
    g.rows = clamp(16384.0 / (g.cols * g.splits), 1, g.m)
    if launch_nogil(&ops.finish, g, g.batch * ceil_div(g.m, g.rows) * ceil_div(g.n, g.cols)) != 0:
        return -1
    g.rows, g.cols = rows, cols
    return 0


cdef int axpy(nnrt_gemm *g, const nnrt_gemm_ops *ops, int64_t size, bint serial) noexcept nogil:
    # A task's sums stay in L1: at most 8 kB of them.
    cdef int64_t widest = 8192 // size, tasks = 1
    cdef double macs = <double>g.k * g.n
    g.rows = 1
    if g.batch == 1 and macs >= AXPY_MACS and g.k >= 512:
        # Whole rows of b, one after the other (1x1024x1024: 0.88 of numpy to 0.98, two threads 0.62 to 1.06).
        g.cols = min(widest, g.n)
        return split_sum(g, ops, &ops.axpy, ceil_div(g.n, g.cols), size, 128)
    if not serial:
        tasks = clamp(macs / 65536, 1, 32)
    # Pieces of a row shorter than 2 kB defeat the hardware's prefetching.
    g.cols = min(widest, max(2048 // size, ceil_div(ceil_div(g.n, tasks), ops.vl) * ops.vl))
    if g.batch == 1 and not serial and ceil_div(g.n, g.cols) < 4 and g.k >= 4096:
        return split_sum(g, ops, &ops.axpy, ceil_div(g.n, g.cols), size, 1024)
    g.work.scratch = g.cols * size
    return launch_nogil(&ops.axpy, g, g.batch * ceil_div(g.n, g.cols))


cdef int dot(nnrt_gemm *g, const nnrt_gemm_ops *ops, int64_t size, bint serial) noexcept nogil:
    cdef int64_t tasks = 1
    g.depth = 8192 // size  # four columns of b fill L1
    g.rows, g.cols = min(g.m, 64), min(g.n, 64)
    if not serial:
        tasks = clamp(<double>g.m * g.n * g.k / 131072, 4, 32)
    while g.batch * ceil_div(g.m, g.rows) * ceil_div(g.n, g.cols) < tasks and g.rows * g.cols > 16:
        if g.cols >= g.rows:
            g.cols = (g.cols // 2 + 3) // 4 * 4
        else:
            g.rows = (g.rows // 2 + 3) // 4 * 4
    g.work.scratch = g.rows * g.cols * size
    return launch_nogil(&ops.dot, g, g.batch * ceil_div(g.m, g.rows) * ceil_div(g.n, g.cols))


cdef int dot_gathered(nnrt_gemm *g, const nnrt_gemm_ops *ops, int64_t size, bint serial) noexcept nogil:
    # A few vectors against a matrix that is contiguous along k: the vectors are copied.
    cdef int64_t lines = g.m if g.b_row == 1 else g.n
    cdef void *copy = take(lines * g.k * size)
    cdef int rc
    if copy == NULL:
        return -1
    if g.b_row == 1:
        ops.copy(copy, g.k, g.a, g.m, g.k, g.a_row, g.a_col)
        g.a, g.a_row, g.a_col = copy, g.k, 1
    else:
        ops.copy(copy, g.k, g.b, g.n, g.k, g.b_col, g.b_row)
        g.b, g.b_row, g.b_col = copy, 1, g.k
    rc = dot(g, ops, size, serial)
    give(copy, lines * g.k * size)
    return rc


cdef int split_sum(nnrt_gemm *g, const nnrt_gemm_ops *ops, const nnrt_kernel *kernel, int64_t tasks, int64_t size,
                   int64_t least) noexcept nogil:
    # c has too few tiles for the threads: parts of k are summed apart, then added in order.
    cdef int rc
    g.splits = clamp(32.0 / tasks, 2, g.k // least)
    g.split = ceil_div(ceil_div(g.k, g.splits), 8) * 8
    if g.packed_a:
        g.split = ceil_div(g.split, g.depth) * g.depth
    g.splits = ceil_div(g.k, g.split)
    g.partial = take(g.splits * g.m * g.n * size)
    if g.partial == NULL:
        return -1
    g.work.nan = NULL
    rc = launch_nogil(kernel, g, g.splits * tasks)
    if rc == 0:
        g.work.nan = gemm_nan
        g.work.scratch = 0
        g.work.flops = <double>g.splits * g.m * g.n
        rc = finish(g, ops)
    give(g.partial, g.splits * g.m * g.n * size)
    return rc


cdef int tiles(nnrt_gemm *g, const nnrt_gemm_ops *ops, int64_t size, bint serial) noexcept nogil:
    cdef int64_t down = ceil_div(g.m, ops.mr), across = ceil_div(g.n, ops.nr), wide = across, want, strip
    cdef int64_t a_matrices, a_count, b_matrices, b_count
    cdef double macs = <double>g.batch * g.m * g.n * g.k
    cdef bint turned = g.a_row == 1 and g.a_col != 1, clash, sliced
    cdef bint strips = not serial and down >= STRIP_TILES and (across < STRIP_PANELS and not turned or g.packed_b)
    cdef bint whole_b = strips and not g.packed_b, whole_a
    cdef void *panels_a = NULL
    cdef void *panels_b = NULL
    cdef int rc = 0
    if g.b_row == 1 and g.b_col != 1 and g.a_col == 1 and g.batch == 1 and not (serial or g.packed_b or g.residual) and (
            g.m <= FEW_ROWS and g.m % ops.vl == 0 and min(g.n, g.k) >= 4 * g.m and g.beta == 0):
        return few_rows(g, ops, size)
    if g.m > ops.mr > ROOM_ROWS and g.a_col == 1 and g.a_row * size % ROOM_BYTES == 0 and g.k * size >= 256:
        down = max(ceil_div(g.m, ROOM_ROWS), g.m // (ROOM_ROWS - 1))  # not fewer than nine, which keep no panels
    g.tiles = down
    b_matrices = g.batch if g.b_batch != 0 else 1
    b_count = packed_count(g.k, g.n, size == 8)
    if whole_b and g.n > ops.nr and b_count * b_matrices * size > PACKED_BYTES:
        return tiles_in_parts(g, ops, size)
    if not serial and g.k >= TALL_K and g.k >= 8 * max(g.m, g.n) and down >= STRIP_TILES and g.batch == 1 and (
            g.a_row == 1 and g.b_col == 1 and not g.packed_b and g.m * g.n * size <= TALL_BYTES):
        return tall_sum(g, ops, size, down, across)
    if not serial and g.k >= TALL_K and PANEL_TILES <= down < STRIP_TILES and across <= ROW_PANELS and g.batch == 1 and (
            g.b_col == 1 and not turned and not g.packed_b and g.m * g.n * size <= TALL_BYTES):
        return flat_sum(g, ops, size, down, across)
    clash = (g.a_col if turned else g.a_row) * size % A_CLASH == 0
    sliced = turned and not (g.packed_b or serial) and g.batch == 1 and g.k >= 2 * SLICE and g.m * g.n >= SLICED
    g.pack_a = across >= 4 and g.k >= 32 and g.a_col != 1 and (
        clash and not turned or turned and across >= (TURNED_PANELS // 2 if clash or sliced else TURNED_PANELS))
    if sliced and not g.pack_a:
        return in_slices(g, ops, size)
    # depth: equal blocks of k
    g.depth = ops.depth
    if turned and not g.pack_a:
        g.depth = min(g.depth, clamp(<double>TURNED_BYTES / max(1, g.a_col * size), 64, 256))
    g.depth = (ceil_div(g.k, ceil_div(g.k, g.depth)) + 7) // 8 * 8
    g.block = max(2, BLOCK_BYTES // (ops.a_step * g.depth * size))
    g.high = down
    if not serial:
        want = clamp(macs / 262144, 2, 24)
        if strips:
            g.high = min(g.block, max(2, down * g.batch // want))
        else:
            # Few panels are one strip, whose rows are cut (64x64x64 at two threads 8.1 to 5.9 us, 128x10x400 22 to 13).
            wide = min(across, 4)
            if g.packed_b:
                wide = 1
            elif down >= PANEL_TILES and not turned:
                wide = strip_of(across, 2 if ops.keep else 4)
            wide = max(wide, across * g.batch // want)
            wide = ceil_div(across, ceil_div(across, wide))
            strip = g.batch * ceil_div(across, wide)
            if turned and strip < TURNED_STRIPS:
                g.high = max(STRIP_TILES, down * strip // TURNED_STRIPS)
                if strip == 1 and down >= 2 * PANEL_TILES:
                    g.high = ceil_div(down, ceil_div(ceil_div(down, g.high), 2) * 2)
            elif across <= 4 and not turned:
                g.high = max(2, down * strip // want)
        g.high = ceil_div(down, ceil_div(down, g.high))
    g.cols = wide * ops.nr
    if not whole_b and not g.packed_b and (g.b_col != 1 or (g.high >= PANEL_TILES and g.n > 2 * ops.nr)):
        g.pack_b = group(ops, wide, size)
    whole_a = g.pack_a and wide < across
    if whole_a:
        a_matrices = g.batch if g.a_batch != 0 else 1
        a_count = down * ops.a_step * g.k
        panels_a = take(a_matrices * a_count * size)
        g.pack_a, g.packed_a = 0, 1
        rc = -1 if panels_a == NULL else pack_many(panels_a, g.a, a_matrices, a_count, g.a_batch, g.k, g.m,
                                                   g.a_col, g.a_row, g.depth, 1, size == 8)
        g.a, g.a_batch = panels_a, a_count if a_matrices > 1 else 0
    if whole_b and rc == 0:
        panels_b = take(b_matrices * b_count * size)
        rc = -1 if panels_b == NULL else pack_many(panels_b, g.b, b_matrices, b_count, g.b_batch, g.k, g.n,
                                                   g.b_row, g.b_col, g.k, 0, size == 8)
        g.b, g.packed_b, g.b_batch = panels_b, 1, b_count if b_matrices > 1 else 0
    if rc == 0:
        g.work.scratch = ((g.high * g.depth * ops.a_step if g.pack_a else 0) + g.pack_b * (g.depth + 1) * ops.nr) * size
        want = ceil_div(down, g.high) * ceil_div(across, wide)
        if not serial and g.batch == 1 and want < 8 and g.k >= 2048:
            rc = split_sum(g, ops, &ops.tiles, want, size, 512)
        else:
            rc = launch_nogil(&ops.tiles, g, g.batch * want)
    if panels_a != NULL:
        give(panels_a, a_matrices * a_count * size)
    if panels_b != NULL:
        give(panels_b, b_matrices * b_count * size)
    return rc


cdef int64_t strip_of(int64_t across, int64_t most) noexcept nogil:
    # Panels of a strip: as many as `most`, or down to half of them where two threads share those more evenly. Narrower
    # ones read too little of each row of a b in place for the hardware, but not where tiles ask for its rows.
    cdef int64_t wide, best = across, least = across
    for wide in range(most, most // 2 - 1, -1):
        if across > 4 and ceil_div(ceil_div(across, wide), 2) * wide < least:
            best, least = wide, ceil_div(ceil_div(across, wide), 2) * wide
    return best


cdef int64_t group(const nnrt_gemm_ops *ops, int64_t wide, int64_t size) noexcept nogil:
    return min(wide, PANELS, max(1, GROUP_BYTES // (ops.nr * size)))


cdef int few_rows(nnrt_gemm *g, const nnrt_gemm_ops *ops, int64_t size) noexcept nogil:
    # Few rows times a weight that is used transposed: cT = w aT, so that the weight is
    # read in place and a is what is packed.
    cdef nnrt_gemm t = g[0]
    cdef int rc = -1
    t.m, t.n, t.a, t.a_row, t.a_col, t.b, t.b_row, t.b_col = g.n, g.m, g.b, g.b_col, 1, g.a, 1, g.a_row
    t.bias, t.activation = NULL, NNRT_ACT_NONE
    t.c, t.c_row = take(g.m * g.n * size), g.m
    if t.c != NULL:
        rc = tiles(&t, ops, size, False)
        if rc == 0:
            ops.copy(g.c, g.c_row, t.c, g.m, g.n, 1, g.m)
            if g.bias != NULL or g.activation != NNRT_ACT_NONE:
                g.beta, g.work.flops = 1, <double>g.m * g.n
                rc = finish(g, ops)
        give(t.c, g.m * g.n * size)
    return rc


cdef int in_slices(nnrt_gemm *g, const nnrt_gemm_ops *ops, int64_t size) noexcept nogil:
    # One slice of k after the other, in which a stays in L2 while all strips of columns pass.
    cdef nnrt_gemm part
    cdef int64_t p = 0, step = (ceil_div(g.k, ceil_div(g.k, SLICE)) + 7) // 8 * 8
    while p < g.k:
        part = g[0]
        part.k = min(step, g.k - p)
        part.work.flops = 2.0 * g.m * g.n * part.k
        part.work.bytes = <double>size * (part.k * (g.m + g.n) + g.m * g.n)
        part.a = <const char *>g.a + p * g.a_col * size
        part.b = <const char *>g.b + p * g.b_row * size
        if p > 0:
            part.beta, part.bias, part.residual = 1, NULL, NULL
        if p + step < g.k:
            part.activation, part.work.nan = NNRT_ACT_NONE, NULL
        if tiles(&part, ops, size, False) != 0:
            return -1
        p += step
    return 0


cdef int tall_sum(nnrt_gemm *g, const nnrt_gemm_ops *ops, int64_t size, int64_t down, int64_t across) noexcept nogil:
    # The gradient of a weight over many rows: each task sums all of c over its own stretch of rows of a and b, which
    # pass through L2 once.
    g.depth = clamp(<double>BLOCK_BYTES / (size * max(g.m, g.n)), 64, ops.depth) // 8 * 8
    g.block, g.high, g.cols, g.pack_b = down, down, across * ops.nr, group(ops, across, size)
    g.work.scratch = g.pack_b * (g.depth + 1) * ops.nr * size
    return split_sum(g, ops, &ops.tiles, 1, size, max(2 * g.depth, g.k * g.m * g.n * size // PARTIAL_BYTES))


cdef int flat_sum(nnrt_gemm *g, const nnrt_gemm_ops *ops, int64_t size, int64_t down, int64_t across) noexcept nogil:
    # Each task sums all of c over its own stretch of k, so that it reads b line by line; a multiple of four tasks.
    cdef int64_t splits = g.k // TALL_K * 4, split = ceil_div(g.k, splits)
    g.depth = clamp(<double>ROW_BYTES / (g.n * size), 128, 512)
    g.depth = (ceil_div(split, ceil_div(split, g.depth)) + 7) // 8 * 8
    g.block, g.high, g.cols, g.pack_b = down, down, across * ops.nr, across
    if ops.keep:
        # The first tile over each panel copies it and asks for its rows, whatever their order.
        g.depth, g.pack_b = (ceil_div(split, ceil_div(split, ops.depth)) + 7) // 8 * 8, group(ops, across, size)
    g.work.scratch = g.pack_b * (g.depth + 1) * ops.nr * size
    return split_sum(g, ops, &ops.tiles, 1, size, max(g.k // splits, g.k * g.m * g.n * size // PARTIAL_BYTES))


cdef int tiles_in_parts(nnrt_gemm *g, const nnrt_gemm_ops *ops, int64_t size) noexcept nogil:
    # One matrix at a time, and of that so many columns that packed b keeps within PACKED_BYTES.
    cdef nnrt_gemm part
    cdef int64_t i, j, step = max(1, PACKED_BYTES // (g.k * size) // ops.nr) * ops.nr
    for i in range(g.batch):
        j = 0
        while j < g.n:
            part = g[0]
            part.batch, part.n = 1, min(step, g.n - j)
            part.work.flops = 2.0 * part.m * part.n * part.k
            part.a = <const char *>g.a + i * g.a_batch * size
            part.b = <const char *>g.b + (i * g.b_batch + j * g.b_col) * size
            part.c = <char *>g.c + (i * g.c_batch + j) * size
            if g.bias != NULL:
                part.bias = <const char *>g.bias + j * size
            if g.residual != NULL:
                part.residual = <const char *>g.residual + j * size
            if tiles(&part, ops, size, False) != 0:
                return -1
            j += step
    return 0


cdef int64_t packed_count(int64_t k, int64_t n, int dtype) noexcept nogil:
    cdef int64_t vl = table.dtype[dtype].vl
    return k * ceil_div(n, vl) * vl


cdef int pack(void *packed, const void *b, int64_t k, int64_t n, int64_t b_row, int64_t b_col,
              int dtype) noexcept nogil:
    return pack_many(packed, b, 1, 0, 0, k, n, b_row, b_col, k, 0, dtype)


cdef int pack_many(void *packed, const void *x, int64_t batch, int64_t packed_batch, int64_t x_batch, int64_t k,
                   int64_t n, int64_t k_stride, int64_t n_stride, int64_t block, bint of_a, int dtype) noexcept nogil:
    cdef nnrt_gemm_pack p
    cdef int64_t line = table.dtype[dtype].mr if of_a else table.dtype[dtype].nr
    memset(&p, 0, sizeof(p))
    if k == 0 or n == 0:
        return 0
    p.dst, p.src, p.batch, p.dst_batch, p.src_batch = packed, x, batch, packed_batch, x_batch
    p.k, p.n, p.k_stride, p.n_stride, p.of_a = k, n, k_stride, n_stride, of_a
    p.block = block
    p.work.bytes = <double>batch * k * n * (8 if dtype == NNRT_F32 else 16)
    # some 16 thousand elements a task, 5 us
    p.panels, p.depth = max(1, 64 // line), 256
    if batch * k * n < 65536:
        p.panels, p.depth = n, block
    return launch_nogil(&table.dtype[dtype].pack, &p,
                        batch * ceil_div(k, block) * ceil_div(block, p.depth) * ceil_div(ceil_div(n, line), p.panels))
