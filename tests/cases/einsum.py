"""Matrix products of every rank, and contractions by name."""

from tests.cases import Op


def arrays(*shapes):
    return lambda rng: [rng.standard_normal(s) for s in shapes]


MATMUL = [
    ((3,), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((0, 3), (3, 4)),
    ((2, 0), (0, 4)),
    ((4, 0, 3), (3, 2)),
    ((1, 1), (1, 1)),
    ((17, 33), (33, 35)),
]

EINSUM = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("i,i->", (4,), (4,)),
    ("i,j->ij", (3,), (4,)),
    ("ii->i", (4, 4)),
    ("ii", (4, 4)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->j", (2, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...i->...", (2, 3, 4)),
    ("b...c,cd->b...d", (2, 3, 4, 5), (5, 6)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,ik,jk->i", (2, 3), (2, 4), (3, 4)),
    ("ij,ij->ij", (2, 3), (2, 3)),
    ("bi,oij,bj->bo", (2, 3), (4, 3, 5), (2, 5)),
    ("ij,kl->ijkl", (2, 3), (4, 5)),
    ("ijk,j->ik", (2, 3, 4), (3,)),
    ("iij->ij", (3, 3, 2)),
    ("ij,j->i", (2, 1), (3,)),
]

OPS = [
    *(Op(f"matmul-{a}@{b}", lambda t, x, y: t.matmul(x, y), arrays(a, b)) for a, b in MATMUL),
    *(Op(f"einsum-{eq}", lambda t, *xs, eq=eq: t.einsum(eq, *xs), arrays(*shapes)) for eq, *shapes in EINSUM),
    *(
        Op(f"linear-{x}", lambda t, *xs: t.nn.functional.linear(*xs), arrays(x, (4, 3), (4,)))
        for x in [(3,), (2, 3), (5, 2, 3), (0, 3), (2, 0, 3)]
    ),
    # The weight's gradient is made turned. Sums of 520 terms of size one: rounding grows with their root.
    Op(
        "linear-many-rows", lambda t, *xs: t.nn.functional.linear(*xs), arrays((520, 70), (75, 70), (75,)),
        tol={"float32": (2e-5, 5e-5), "float64": (1e-11, 1e-12)},
    ),  # fmt: skip
    Op("linear-no-bias", lambda t, *xs: t.nn.functional.linear(*xs), arrays((2, 3), (4, 3))),
    Op("linear-vector-weight", lambda t, *xs: t.nn.functional.linear(*xs), arrays((2, 3), (3,))),
    Op("bilinear", lambda t, *xs: t.nn.functional.bilinear(*xs), arrays((2, 3), (2, 5), (4, 3, 5), (4,))),
    Op("bilinear-batch", lambda t, *xs: t.nn.functional.bilinear(*xs), arrays((2, 6, 3), (2, 6, 5), (4, 3, 5))),
    Op("tensordot-2", lambda t, x, y: t.tensordot(x, y, dims=2), arrays((2, 3, 4), (3, 4, 5))),
    Op("tensordot-0", lambda t, x, y: t.tensordot(x, y, dims=0), arrays((2, 3), (4,))),
    Op("tensordot-axes", lambda t, x, y: t.tensordot(x, y, dims=([0, 2], [1, 0])), arrays((2, 3, 4), (4, 2, 5))),
    Op("addmm", lambda t, x, a, b: t.addmm(x, a, b, beta=0.5, alpha=2.0), arrays((4,), (2, 3), (3, 4))),
    Op("baddbmm", lambda t, x, a, b: t.baddbmm(x, a, b), arrays((5, 2, 4), (5, 2, 3), (5, 3, 4))),
    Op("addmv", lambda t, x, a, b: t.addmv(x, a, b), arrays((2,), (2, 3), (3,))),
    Op("outer", lambda t, x, y: t.outer(x, y), arrays((3,), (4,))),
    Op("inner", lambda t, x, y: t.inner(x, y), arrays((2, 3), (4, 3))),
    Op("mm", lambda t, x, y: t.mm(x, y), arrays((2, 3), (3, 4))),
    Op("bmm", lambda t, x, y: t.bmm(x, y), arrays((5, 2, 3), (5, 3, 4))),
    Op("mv", lambda t, x, y: t.mv(x, y), arrays((2, 3), (3,))),
    Op("dot", lambda t, x, y: t.dot(x, y), arrays((3,), (3,))),
    Op("matmul-of-transposed", lambda t, x, y: t.matmul(x.transpose(-1, -2), y), arrays((5, 3, 2), (5, 3, 4))),
    Op("matmul-with-itself", lambda t, x: x @ x.transpose(0, 1), arrays((3, 4))),
    Op("kron", lambda t, x, y: t.kron(x, y), arrays((2, 3), (4, 5))),
    Op("kron-of-other-rank", lambda t, x, y: (t.kron(x, y), t.kron(y, x)), arrays((3,), (2, 1, 4))),
    Op("chain_matmul", lambda t, *m: t.chain_matmul(*m), arrays((2, 9), (9, 3), (3, 7), (7, 1))),
    Op("chain_matmul-of-one", lambda t, x: t.chain_matmul(x), arrays((2, 9))),
]
