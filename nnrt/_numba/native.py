"""What Numba's language lacks: memory by address, atomic counters, register tiles as LLVM vectors.

Loops that LLVM vectorises by itself stay at a tenth of the machine's peak in a matrix product, so
the tile is emitted as vectors. Addresses and offsets are integers, in bytes: a function of addresses
is compiled once per dtype, not once per memory order of every array. `one` stands for the dtype.
"""

from functools import partial

from llvmlite import ir
from numba import types
from numba.core import cgutils, codegen, config
from numba.extending import intrinsic

# Register tile: MR rows by two vectors of VECTOR bytes, as in _ext/csrc/gemm_vec.h.
_features = config.CPU_FEATURES or codegen.get_host_cpu_features()
if "+avx512f" in _features:
    VECTOR, MR = 64, 14
elif "+avx2" in _features and "+fma" in _features:
    VECTOR, MR = 32, 6
else:
    VECTOR, MR = 16, 6

_address = types.intp
_byte = ir.IntType(8).as_pointer()


def _at(builder, address, offset, kind):
    """A pointer to `kind`. The base alone is made from an integer, so that LLVM can follow the offsets."""
    return builder.bitcast(builder.gep(builder.inttoptr(address, _byte), [offset]), kind.as_pointer())


@intrinsic
def address(typingctx, array):
    """Where an array's first element lies."""

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, context.get_value_type(_address))

    return _address(array), codegen


@intrinsic
def load(typingctx, one, address, offset):
    """The number of one's dtype at address + offset."""

    def codegen(context, builder, signature, args):
        pointer = _at(builder, args[1], args[2], context.get_data_type(signature.args[0]))
        return builder.load(pointer, align=1)

    return one(one, _address, _address), codegen


@intrinsic
def store(typingctx, one, value, address, offset):
    """Writes value, in one's dtype, at address + offset."""

    def codegen(context, builder, signature, args):
        pointer = _at(builder, args[2], args[3], context.get_data_type(signature.args[0]))
        builder.store(context.cast(builder, args[1], signature.args[1], signature.args[0]), pointer, align=1)
        return context.get_dummy_value()

    return types.void(one, value, _address, _address), codegen


@intrinsic
def count(typingctx, address, step):
    """Adds step to the int64 at the address, in one go with respect to other threads; what was there before."""

    def codegen(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, args[1], "seq_cst")

    return types.int64(_address, types.int64), codegen


def _vector(context, one):
    real = context.get_data_type(one)
    return ir.VectorType(real, VECTOR * 8 // one.bitwidth), one.bitwidth // 8


@intrinsic
def stack(typingctx, one):
    """The address of room for a tile, which lasts until the function returns."""

    def codegen(context, builder, signature, args):
        vector, _ = _vector(context, signature.args[0])
        room = cgutils.alloca_once(builder, vector, size=2 * MR)
        return builder.ptrtoint(room, context.get_value_type(_address))

    return _address(one), codegen


@intrinsic
def move(typingctx, one, to, source):
    """Copies two vectors."""

    def codegen(context, builder, signature, args):
        vector, size = _vector(context, signature.args[0])
        for i in range(2):
            offset = ir.Constant(args[1].type, i * VECTOR)
            value = builder.load(_at(builder, args[2], offset, vector), align=size)
            builder.store(value, _at(builder, args[1], offset, vector), align=size)
        return context.get_dummy_value()

    return types.void(one, _address, _address), codegen


@intrinsic
def turn(typingctx, one, to, to_row, source, source_row):
    """The transpose of a square as wide as a vector; bytes between its rows."""

    def codegen(context, builder, signature, args):
        vector, size = _vector(context, signature.args[0])
        _, to, to_row, source, source_row = args
        n, number = vector.count, partial(ir.Constant, to_row.type)
        rows = [builder.load(_at(builder, source, builder.mul(source_row, number(i)), vector), align=size) for i in range(n)]
        apart = 1
        while apart < n:  # rows exchange pieces of this length
            for i in range(n):
                if not i & apart:
                    x, y = rows[i], rows[i + apart]
                    for at, row in ((0, i), (apart, i + apart)):
                        order = [(j & ~apart) + at + (n if j & apart else 0) for j in range(n)]
                        mask = ir.Constant(ir.VectorType(ir.IntType(32), n), order)
                        rows[row] = builder.shuffle_vector(x, y, mask)
            apart *= 2
        for i, row in enumerate(rows):
            builder.store(row, _at(builder, to, builder.mul(to_row, number(i)), vector), align=size)
        return context.get_dummy_value()

    return types.void(one, _address, _address, _address, _address), codegen


def _fetch(builder, address, write):
    """Asks for the line of cache at a pointer."""
    numbers = [ir.IntType(32)] * 3
    function = builder.module.declare_intrinsic("llvm.prefetch", [_byte], ir.FunctionType(ir.VoidType(), [_byte, *numbers]))
    constants = [ir.Constant(kind, x) for kind, x in zip(numbers, (write, 2 + write, 1))]  # as data; what is read next into L2
    builder.call(function, [address, *constants])


def _arithmetic(context, builder, one, index):
    """What a register tile is made of: its vector type and that one's bytes, constants of the index type, a number in every
    lane, and a multiply-add, fused where the CPU can (llvm.fma would call libm elsewhere)."""
    vector, size = _vector(context, one)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    none = ir.Constant(vector, ir.Undefined)
    name = f"llvm.fmuladd.v{vector.count}f{one.bitwidth}"
    fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)

    def number(x):
        return ir.Constant(index, x)

    def splat(x):
        return builder.shuffle_vector(builder.insert_element(none, x, ir.Constant(ir.IntType(32), 0)), none, lanes)

    return vector, size, number, splat, fma


# Of k that a turn of the tile's loop takes. A core that another process shares has instructions to spare for nothing
# but sums.
TURN = 4


def _emit(height, packed, context, builder, one, args):
    """The code of a tile so high; see _tile."""
    alpha, c, c_row, a, a_row, b, k, fresh, ahead, ahead_step = args
    index = k.type
    vector, size, number, splat, fma = _arithmetic(context, builder, one, index)
    rows = [builder.add(c, builder.mul(c_row, number(i))) for i in range(height)]
    for row in rows:  # c's lines would come one by one when they are stored to
        _fetch(builder, builder.inttoptr(row, _byte), 1)
    # three rows of a to a pointer: others would be found one from the other, in as many cycles as their
    # products take
    each, a_row, a_col = (height, number(size), 2 * VECTOR) if packed else (3, a_row, size)
    offsets = [builder.mul(a_row, number(i)) for i in range(each)]
    lines = [builder.add(a, builder.mul(a_row, number(i))) for i in range(0, height, each)]
    starts = [builder.inttoptr(x, _byte) for x in (ahead, b, *lines)]

    def summed(turn, left, starts, first):
        """Adds the products of `turn` of k at a time, for as long as so many are left; what is left, and the ends."""
        entry = builder.block
        test, loop, done = (builder.append_basic_block(x) for x in ("test", "k", "done"))
        builder.branch(test)
        builder.position_at_end(test)
        rest, *places = builder.phi(index), *(builder.phi(_byte) for _ in starts)
        sums = [builder.phi(vector) for _ in first]
        builder.cbranch(builder.icmp_signed(">=", rest, number(turn)), loop, done)
        builder.position_at_end(loop)
        asked, of_b, *of_a = places

        def read(place, offset, kind):
            return builder.load(builder.bitcast(builder.gep(place, [offset]), kind.as_pointer()), align=size)

        if turn > 1:
            _fetch(builder, asked, 0)
        after = sums
        for p in range(turn):
            bs = [read(of_b, number((2 * p + j) * VECTOR), vector) for j in range(2)]
            before, after = after, []
            for i in range(height):
                at = builder.gep(of_a[i // each], [offsets[i % each]])
                x = splat(read(at, number(p * a_col), vector.element))
                after += [builder.call(fma, [x, y, s]) for y, s in zip(bs, before[2 * i :])]
        steps = ahead_step, number(turn * 2 * VECTOR), *[number(turn * a_col)] * len(of_a)
        ends = [builder.gep(at, [step]) for at, step in zip(places, steps)]
        following = builder.sub(rest, number(turn))
        builder.branch(test)
        for phi, x, again in zip((rest, *places, *sums), (left, *starts, *first), (following, *ends, *after)):
            phi.add_incoming(x, entry)
            phi.add_incoming(again, loop)
        builder.position_at_end(done)
        return rest, places, sums

    none = [ir.Constant(vector, [0.0] * vector.count)] * (2 * height)
    *_, after = summed(1, *summed(TURN, k, starts, none))
    scale = splat(alpha)
    places = [_at(builder, rows[i // 2], number(i % 2 * VECTOR), vector) for i in range(2 * height)]
    with builder.if_else(builder.trunc(fresh, ir.IntType(1))) as (then, otherwise):
        with then:
            for s, place in zip(after, places):
                builder.store(builder.fmul(scale, s), place, align=size)
        with otherwise:
            for s, place in zip(after, places):
                builder.store(builder.call(fma, [scale, s, builder.load(place, align=size)]), place, align=size)


def _tile(*heights, packed=False):
    """An intrinsic tile(alpha, rows, c, c_row, a, a_row, b, k, fresh, ahead, ahead_step): c[height, 2 vectors] += alpha a b, or =
    where fresh, for a[height, k] and a panel b[k, 2 vectors]; k > 0. height: the least of those, given in falling order, that
    is not below `rows`. packed: a's rows, too, are columns of such a panel.

    Bytes between rows of c and of a; alpha of the dtype. Meanwhile what is needed next is asked for: the line of cache
    at `ahead`, then those ahead_step bytes further on, one for TURN of k.
    """

    @intrinsic
    def tile(typingctx, alpha, rows, c, c_row, a, a_row, b, k, fresh, ahead, ahead_step):
        def codegen(context, builder, signature, args):
            alpha, rows, *rest = args

            def choose(height, *lower):
                if not lower:
                    _emit(height, packed, context, builder, signature.args[0], (alpha, *rest))
                    return
                with builder.if_else(builder.icmp_signed(">", rows, ir.Constant(rows.type, lower[0]))) as (then, otherwise):
                    with then:
                        choose(height)
                    with otherwise:
                        choose(*lower)

            choose(*heights)
            return context.get_dummy_value()

        i = _address
        return types.void(alpha, i, i, i, i, i, i, i, types.boolean, i, i), codegen

    return tile


# Rows of a tile of an a whose rows lie a multiple of 4 kB apart, all in one set of L1: 14 find no room in its 12 lines.
LOW = min(MR, 10)
tile = _tile(*sorted({MR, LOW}, reverse=True))
# Rows that are no multiple of MR are shared out among tiles of about the same height, not all of which there are.
strip = _tile(*((MR, 12, 10, 8, 4) if MR == 14 else (MR, MR - 1)))
# A panel's rows are 4 to 32: eight at a time leave nothing over.
PACKED = 8 if MR == 14 else MR
packed_strip = _tile(*((PACKED,) if PACKED == 8 else (MR, MR - 1)), packed=True)


@intrinsic
def sums(typingctx, one, to, rows, table, n, k, a_step, b, b_step, fresh):
    """c[MR, 2 vectors] += Σ_t Σ_p a b, or = where fresh, t < n and p < k, both > 0: a product whose operands lie where they are.

    to: MR addresses of rows of c. Row i of a is read at rows[i] + table[t, 0] + p a_step, b at b + table[t, 1] + p b_step.
    """

    def codegen(context, builder, signature, args):
        one = signature.args[0]
        _, to, rows, table, n, k, a_step, b, b_step, fresh = args
        index = n.type
        vector, size, number, splat, fma = _arithmetic(context, builder, one, index)

        def entry_of(array, i):
            return builder.load(_at(builder, array, i, index), align=8)

        starts = [entry_of(rows, number(8 * i)) for i in range(MR)]
        entry = builder.block
        outer, inner, after_inner, done = (builder.append_basic_block(x) for x in ("t", "p", "next", "done"))
        builder.branch(outer)

        builder.position_at_end(outer)
        t, outer_sums = builder.phi(index), [builder.phi(vector) for _ in range(2 * MR)]
        a_at = entry_of(table, builder.mul(t, number(16)))
        b_at = builder.add(b, entry_of(table, builder.add(builder.mul(t, number(16)), number(8))))
        lines = [builder.add(start, a_at) for start in starts]
        builder.branch(inner)

        builder.position_at_end(inner)
        p, of_a, of_b = (builder.phi(index) for _ in range(3))
        inner_sums = [builder.phi(vector) for _ in range(2 * MR)]
        bs = [builder.load(_at(builder, b_at, builder.add(of_b, number(j * VECTOR)), vector), align=size) for j in range(2)]
        after = []
        for i in range(MR):
            x = splat(builder.load(_at(builder, lines[i], of_a, vector.element), align=size))
            after += [builder.call(fma, [x, y, s]) for y, s in zip(bs, inner_sums[2 * i :])]
        following = builder.add(p, number(1))
        steps = builder.add(of_a, a_step), builder.add(of_b, b_step)
        builder.cbranch(builder.icmp_signed("<", following, k), inner, after_inner)

        builder.position_at_end(after_inner)
        t_following = builder.add(t, number(1))
        builder.cbranch(builder.icmp_signed("<", t_following, n), outer, done)

        zero = ir.Constant(vector, [0.0] * vector.count)
        for phi, first, again in [(t, number(0), t_following), *zip(outer_sums, [zero] * len(after), after)]:
            phi.add_incoming(first, entry)
            phi.add_incoming(again, after_inner)
        for phi, first, again in [
            (p, number(0), following), (of_a, number(0), steps[0]), (of_b, number(0), steps[1]),
            *zip(inner_sums, outer_sums, after),
        ]:  # fmt: skip
            phi.add_incoming(first, outer)
            phi.add_incoming(again, inner)

        builder.position_at_end(done)
        places = []
        for i in range(MR):
            line = entry_of(to, number(8 * i))
            places += [_at(builder, line, number(j * VECTOR), vector) for j in range(2)]
        with builder.if_else(builder.trunc(fresh, ir.IntType(1))) as (then, otherwise):
            with then:
                for s, place in zip(after, places):
                    builder.store(s, place, align=size)
            with otherwise:
                for s, place in zip(after, places):
                    builder.store(builder.fadd(s, builder.load(place, align=size)), place, align=size)
        return context.get_dummy_value()

    i = _address
    return types.void(one, i, i, i, i, i, i, i, i, types.boolean), codegen


def line(*matrices):
    """An intrinsic line(one, which, to, to_step, source, source_step): the vectors at `to` become matrices[which]
    times those at `source`. Steps in bytes; zeros of a matrix cost nothing."""

    @intrinsic
    def line(typingctx, one, which, to, to_step, source, source_step):
        def codegen(context, builder, signature, args):
            number = signature.args[0]
            vector, size = _vector(context, number)
            _, which, to, to_step, source, source_step = args
            name = f"llvm.fmuladd.v{vector.count}f{number.bitwidth}"
            fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
            after = builder.append_basic_block("after")
            switch = builder.switch(which, after)
            for at, matrix in enumerate(matrices):
                block = builder.append_basic_block("matrix")
                switch.add_case(ir.Constant(which.type, at), block)
                builder.position_at_end(block)
                x = []
                for j in range(len(matrix[0])):
                    offset = builder.mul(source_step, ir.Constant(source_step.type, j))
                    x.append(builder.load(_at(builder, source, offset, vector), align=size))
                for i, row in enumerate(matrix):
                    terms = [(ir.Constant(vector, [float(r)] * vector.count), v) for r, v in zip(row, x) if r]
                    total = builder.fmul(*terms[0])
                    for factor, v in terms[1:]:
                        total = builder.call(fma, [factor, v, total])
                    offset = builder.mul(to_step, ir.Constant(to_step.type, i))
                    builder.store(total, _at(builder, to, offset, vector), align=size)
                builder.branch(after)
            builder.position_at_end(after)
            return context.get_dummy_value()

        return types.void(one, types.int64, _address, _address, _address, _address), codegen

    return line
