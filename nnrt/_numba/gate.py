"""How helpers come to a compiled kernel: through a word in memory, the gate, without the GIL and without Python.

`entry` is what the caller runs: it lays the arguments in its own frame, opens the gate, works, closes the gate and waits for
the helpers that are inside. `serve` is what a helper runs while it spins. One call at a time owns the gate; one that finds it
taken works alone. As in _ext/csrc/threads.c.
"""

import os
import sys

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import jit
from .native import count

# Bytes from the beginning of a gate: places left open and helpers inside, whether a call owns it, what to call, the caller's
# core, when a helper on it last looked for another, and how often helpers were called back to Python. Two lines apart: they
# are fetched in pairs.
OWNER, JOB, CORE, LOOKED, BELL, SIZE = 128, 256, 272, 280, 384, 512
# In the gate's upper half: a place for a helper.
OPEN = 1 << 32
# Nanoseconds of spinning before other processes are let go first.
POLITE = 20000
# Nanoseconds until a helper on the caller's core looks for another once more.
LOOK_AGAIN = 2000000
# Bytes that `mine` counts in, for PARTS threads at most: words of neighbours lie in different pairs of lines. A kernel has two
# lines to count in, then such words for two rounds.
WORDS, PARTS = 384, 48
NUMBERS = 128 + 2 * WORDS
# Of such a word the lower half counts pieces taken from the front, the upper half those from the back.
BACK = 1 << 32

POSIX, LINUX = os.name == "posix", sys.platform == "linux"
_i64, _i32, _byte = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
_run = ir.FunctionType(_i32, [_byte])


def _pointer(builder, address):
    return builder.inttoptr(address, _i64.as_pointer())


@intrinsic
def read(typingctx, address):
    """The int64 at the address, and what was written before it was."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(_pointer(builder, args[0]), "seq_cst", 8)

    return types.int64(types.intp), codegen


@intrinsic
def write(typingctx, address, value):
    def codegen(context, builder, signature, args):
        builder.store_atomic(args[1], _pointer(builder, args[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), codegen


@intrinsic
def swap(typingctx, address, old, new):
    """Writes new if old is there; whether it was."""

    def codegen(context, builder, signature, args):
        found = builder.cmpxchg(_pointer(builder, args[0]), args[1], args[2], "seq_cst", "seq_cst")
        return builder.extract_value(found, 1)

    return types.boolean(types.intp, types.int64, types.int64), codegen


@intrinsic
def relax(typingctx):
    """Lets the core's other thread go first for a moment."""

    def codegen(context, builder, signature, args):
        machine = builder.module.triple.partition("-")[0]
        name, operands = {"x86_64": ("llvm.x86.sse2.pause", []), "aarch64": ("llvm.aarch64.hint", [1])}.get(machine, ("", []))
        if name:
            function = ir.FunctionType(ir.VoidType(), [_i32] * len(operands))
            builder.call(builder.module.declare_intrinsic(name, (), function), [ir.Constant(_i32, x) for x in operands])
        return context.get_dummy_value()

    return types.void(), codegen


def _external(builder, name, result, *kinds):
    found = builder.module.globals.get(name)
    return found or ir.Function(builder.module, ir.FunctionType(result, kinds), name)


@intrinsic
def clock(typingctx, which):
    """Nanoseconds of one of the system's clocks."""

    def codegen(context, builder, signature, args):
        if not POSIX:  # there nobody spins, and a name that the system lacks would not link
            return ir.Constant(_i64, 0)
        time = cgutils.alloca_once(builder, _i64, 2)  # once: a helper's loop may last
        function = _external(builder, "clock_gettime", _i32, _i32, time.type)
        builder.call(function, [builder.trunc(args[0], _i32), time])
        second, rest = (builder.load(builder.gep(time, [ir.Constant(_i32, i)])) for i in range(2))
        return builder.add(builder.mul(second, ir.Constant(_i64, 10**9)), rest)

    return types.int64(types.int64), codegen


@intrinsic
def give_way(typingctx):
    """Lets other processes go first."""

    def codegen(context, builder, signature, args):
        if POSIX:
            builder.call(_external(builder, "sched_yield", _i32), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def core(typingctx):
    """The core that this thread runs on; -1 where the system does not tell."""

    def codegen(context, builder, signature, args):
        if not LINUX:
            return ir.Constant(_i64, -1)
        return builder.sext(builder.call(_external(builder, "sched_getcpu", _i32), []), _i64)

    return types.int64(), codegen


@jit
def reach(address, least):
    """Waits until the number at the address is so large."""
    turns = 0
    while read(address) < least:
        relax()
        turns += 1
        if turns % 512 == 0:
            give_way()


@jit
def mine(numbers, parts, me, pieces):
    """The next piece for thread `me`, -1 if none is left. Each of so many threads has a range of the pieces, the same in every
    call, so that it meets what it wrote; one that is through takes the others' last ones. Counts in the WORDS 128 bytes on."""
    for i in range(parts):
        part = (me + i) % parts
        first, word = pieces * part // parts, numbers + 128 + part % 3 * 128 + part // 3 * 8
        own = pieces * (part + 1) // parts - first
        seen = read(word)
        while seen % BACK + seen // BACK < own:
            if swap(word, seen, seen + (BACK if i else 1)):
                return first + (own - 1 - seen // BACK if i else seen % BACK)
            seen = read(word)
    return -1


# ---- the caller ----


@intrinsic
def _packed(typingctx, kernel, args):
    """The address, good until the calling function returns, of numbers, the kernel's address and args."""

    def codegen(context, builder, signature, values):
        kernel, args = values
        room = cgutils.alloca_once(builder, _frame(context, signature.args[1]))
        room.align = 128
        frame = ir.Constant(room.type.pointee, None)
        for at, value in ((1, kernel), (2, args)):
            frame = builder.insert_value(frame, value, at)
        builder.store(frame, room)
        return builder.ptrtoint(room, _i64)

    return types.intp(kernel, args), codegen


def _frame(context, args):
    return ir.LiteralStructType([ir.ArrayType(_i64, NUMBERS // 8), _i64, context.get_value_type(args)])


@intrinsic
def _unpacking(typingctx, args):
    """The address of a function that calls a kernel with what _packed has packed; what it returns is not 0 if that failed."""

    def codegen(context, builder, signature, values):
        (args,) = signature.args
        kinds = (*args, types.intp)
        function = ir.Function(builder.module, _run, builder.module.get_unique_name("unpacking"))
        function.linkage = "internal"
        inner = ir.IRBuilder(function.append_basic_block())
        room = inner.bitcast(function.args[0], _frame(context, args).as_pointer())
        kernel, packed = (inner.load(inner.gep(room, [ir.Constant(_i32, 0), ir.Constant(_i32, i)])) for i in (1, 2))
        kernel = inner.inttoptr(kernel, context.call_conv.get_function_type(types.none, kinds).as_pointer())
        values = [inner.extract_value(packed, i) for i in range(len(args))]
        numbers = inner.ptrtoint(function.args[0], _i64)
        status, _ = context.call_conv.call_function(inner, kernel, types.none, kinds, [*values, numbers])
        inner.ret(inner.zext(status.is_error, _i32))
        return builder.ptrtoint(function, _i64)

    return types.intp(args), codegen


@intrinsic
def _call(typingctx, function, room):
    def codegen(context, builder, signature, args):
        return builder.call(builder.inttoptr(args[0], _run.as_pointer()), [builder.inttoptr(args[1], _byte)])

    return types.int32(types.intp, types.intp), codegen


@jit
def _open(gate, helpers, function, room):
    if helpers <= 0 or not swap(gate + OWNER, 0, 1):
        return False
    write(gate + JOB, function)
    write(gate + JOB + 8, room)
    write(gate + CORE, core())
    write(gate, helpers * OPEN)
    return True


@jit
def _close(gate):
    seen = read(gate)
    while not swap(gate, seen, seen % OPEN):
        seen = read(gate)
    turns = 0
    while read(gate):  # helpers in their last pieces
        relax()
        turns += 1
        if turns % 512 == 0:
            give_way()
    write(gate + OWNER, 0)


def entry(kinds):
    """(kernel, gate, helpers, *args) -> None, compiled: calls the kernel at that address, which is of these kinds and takes the
    address of its numbers besides, on this thread and on so many helpers as come before it ends."""
    names = ", ".join(f"x{i}" for i in range(len(kinds)))
    source = f"""
def enter(kernel, gate, helpers, {names}):
    args = ({names},)
    room, function = _packed(kernel, args), _unpacking(args)
    mine = _open(gate, helpers, function, room)
    failed = _call(function, room)
    if mine:
        _close(gate)
    if failed:
        raise MemoryError("no room for a kernel's scratch")
"""
    exec(compile(source, __file__, "exec"), globals(), made := {})
    enter = jit(made["enter"])
    enter.compile((types.intp,) * 3 + kinds)
    enter.disable_compile()
    return enter


# ---- the helper ----


@jit
def _beside(gate, which):
    """Whether this helper runs on the caller's core and should look for another."""
    here = core()
    if here < 0 or here != read(gate + CORE):
        return False
    now = clock(which)
    if now - read(gate + LOOKED) < LOOK_AGAIN:
        return False
    write(gate + LOOKED, now)
    return True


@jit
def _join(gate):
    seen = read(gate)
    while seen >= OPEN:
        if swap(gate, seen, seen - OPEN + 1):
            return True
        seen = read(gate)
    return False


@jit
def serve(gate, limit, which, rung):
    """Helps those who open the gate, until for `limit` ns nobody has or the bell is rung again. True if before that it is found
    on the caller's core, which it should leave."""
    idle, turns = 0, 0
    while limit and read(gate + BELL) == rung:
        if read(gate) >= OPEN:
            if _beside(gate, which):
                return True
            if _join(gate):
                _call(read(gate + JOB), read(gate + JOB + 8))
                count(gate, -1)
                idle = 0
        relax()
        turns += 1
        if turns % 32 == 0:  # the clock costs as much as two pauses
            now = clock(which)
            if idle == 0:
                idle = now
            elif now - idle >= limit:
                break
            elif now - idle >= POLITE:
                if _beside(gate, which):
                    return True
                give_way()
    return False


def prepare():
    """Compiles serve: half a second, in which a helper that did it itself would be no help."""
    serve.compile((types.int64,) * 4)
