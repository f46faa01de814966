/* Square tiles transposed in registers. Included once per element type, with ELEMENT,
 * ELEMENT_BYTES and K(name) defined. */
#ifndef TILE_BYTES
#if defined(__AVX2__)
#define TILE_BYTES 32
#else
#define TILE_BYTES 16
#endif
#endif

#define SIDE (TILE_BYTES / ELEMENT_BYTES)

/* out[i * step + j] = x[j][i] for i, j < SIDE. */
static inline __attribute__((always_inline)) void K(transpose_tile)(ELEMENT *out, int64_t step,
                                                                    const ELEMENT *const *x)
{
    typedef ELEMENT vec __attribute__((vector_size(TILE_BYTES)));
    typedef ELEMENT loose __attribute__((vector_size(TILE_BYTES), aligned(ELEMENT_BYTES), may_alias));
#define LOAD(j) (*(const loose *)x[j])
#define PUT(i, v) (*(loose *)(out + (i) * step) = (v))
#define MIX __builtin_shufflevector
#if TILE_BYTES == 32 && ELEMENT_BYTES == 4
#define LOW(u, v) MIX(u, v, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(u, v) MIX(u, v, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW_PAIRS(u, v) MIX(u, v, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_PAIRS(u, v) MIX(u, v, 2, 3, 10, 11, 6, 7, 14, 15)
#define LOW_HALVES(u, v) MIX(u, v, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH_HALVES(u, v) MIX(u, v, 4, 5, 6, 7, 12, 13, 14, 15)
    vec a0 = LOAD(0), a1 = LOAD(1), a2 = LOAD(2), a3 = LOAD(3), a4 = LOAD(4), a5 = LOAD(5), a6 = LOAD(6), a7 = LOAD(7);
    vec b0 = LOW(a0, a1), b1 = HIGH(a0, a1), b2 = LOW(a2, a3), b3 = HIGH(a2, a3);
    vec b4 = LOW(a4, a5), b5 = HIGH(a4, a5), b6 = LOW(a6, a7), b7 = HIGH(a6, a7);
    a0 = LOW_PAIRS(b0, b2), a1 = HIGH_PAIRS(b0, b2), a2 = LOW_PAIRS(b1, b3), a3 = HIGH_PAIRS(b1, b3);
    a4 = LOW_PAIRS(b4, b6), a5 = HIGH_PAIRS(b4, b6), a6 = LOW_PAIRS(b5, b7), a7 = HIGH_PAIRS(b5, b7);
    PUT(0, LOW_HALVES(a0, a4)), PUT(1, LOW_HALVES(a1, a5)), PUT(2, LOW_HALVES(a2, a6));
    PUT(3, LOW_HALVES(a3, a7)), PUT(4, HIGH_HALVES(a0, a4)), PUT(5, HIGH_HALVES(a1, a5));
    PUT(6, HIGH_HALVES(a2, a6)), PUT(7, HIGH_HALVES(a3, a7));
#undef LOW_PAIRS
#undef HIGH_PAIRS
#undef LOW_HALVES
#undef HIGH_HALVES
#elif TILE_BYTES == 32
#define LOW(u, v) MIX(u, v, 0, 1, 4, 5)
#define HIGH(u, v) MIX(u, v, 2, 3, 6, 7)
    vec a0 = LOAD(0), a1 = LOAD(1), a2 = LOAD(2), a3 = LOAD(3);
    vec b0 = MIX(a0, a1, 0, 4, 2, 6), b1 = MIX(a0, a1, 1, 5, 3, 7);
    vec b2 = MIX(a2, a3, 0, 4, 2, 6), b3 = MIX(a2, a3, 1, 5, 3, 7);
    PUT(0, LOW(b0, b2)), PUT(1, LOW(b1, b3)), PUT(2, HIGH(b0, b2)), PUT(3, HIGH(b1, b3));
#elif ELEMENT_BYTES == 4
#define LOW(u, v) MIX(u, v, 0, 1, 4, 5)
#define HIGH(u, v) MIX(u, v, 2, 3, 6, 7)
    vec a0 = LOAD(0), a1 = LOAD(1), a2 = LOAD(2), a3 = LOAD(3);
    vec b0 = MIX(a0, a1, 0, 4, 1, 5), b1 = MIX(a0, a1, 2, 6, 3, 7);
    vec b2 = MIX(a2, a3, 0, 4, 1, 5), b3 = MIX(a2, a3, 2, 6, 3, 7);
    PUT(0, LOW(b0, b2)), PUT(1, HIGH(b0, b2)), PUT(2, LOW(b1, b3)), PUT(3, HIGH(b1, b3));
#else
#define LOW(u, v) MIX(u, v, 0, 2)
#define HIGH(u, v) MIX(u, v, 1, 3)
    vec a0 = LOAD(0), a1 = LOAD(1);
    PUT(0, LOW(a0, a1)), PUT(1, HIGH(a0, a1));
#endif
#undef LOW
#undef HIGH
#undef MIX
#undef LOAD
#undef PUT
}
