/* Connectionist temporal classification; see nnrt._ref.loss. Included once per dtype after vmath.h.
 * A task is a sample. The rows of a recursion are padded by two places of -inf, so that loops run over all places. */

/* y_i = log(e^a_i + e^b_i + e^(c_i + skip_i)) + add_i */
static void K(ctc_step)(REAL *restrict y, const REAL *a, const REAL *b, const REAL *c, const REAL *restrict skip,
                        const REAL *restrict add, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        REAL d = c[i] + skip[i], m = a[i] > b[i] ? a[i] : b[i];
        m = m > d ? m : d;
        m = m == -(REAL)INFINITY ? 0 : m;
        y[i] = m + K(log)(K(exp_neg)(a[i] - m) + K(exp_neg)(b[i] - m) + K(exp_neg)(d - m)) + add[i];
    }
}

typedef struct {
    const REAL *x; /* of the sample: frames are `step` apart */
    const int64_t *target;
    int64_t step, frames, places, blank;
    REAL *skip, *emit, *row, *next; /* row and next with two places of -inf on either side */
} K(ctc_t);

static K(ctc_t) K(ctc_of)(const nnrt_ctc_args *p, int64_t n, REAL *room)
{
    int64_t width = p->width;
    K(ctc_t) t = {(const REAL *)p->x + n * p->classes, p->targets + p->starts[n], p->n * p->classes, p->frames[n],
                  2 * p->sizes[n] + 1, p->blank, room, room + width, room + 2 * width + 2, room + 3 * width + 6};
    for (int64_t s = 0; s < 4 * width + 8; s++)
        room[s] = -(REAL)INFINITY;
    for (int64_t s = 3; s < t.places; s += 2)
        if (t.target[s / 2] != p->blank && t.target[s / 2] != t.target[s / 2 - 1])
            t.skip[s] = 0;
    return t;
}

INLINE int64_t K(ctc_label)(const K(ctc_t) *t, int64_t s) { return s & 1 ? t->target[s / 2] : t->blank; }

static void K(ctc_emit)(const K(ctc_t) *t, int64_t frame)
{
    const REAL *x = t->x + frame * t->step;
    for (int64_t s = 0; s < t->places; s++)
        t->emit[s] = x[K(ctc_label)(t, s)];
}

static void K(ctc)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_ctc_args *p = args;
    for (int64_t n = begin; n < end; n++) {
        K(ctc_t) t = K(ctc_of)(p, n, scratch);
        REAL *alpha = (REAL *)p->alpha + n * p->t * p->width, *last = alpha;
        for (int64_t i = 0; i < p->t * p->width; i++)
            alpha[i] = -(REAL)INFINITY;
        for (int64_t f = 0; f < t.frames; f++) {
            last = alpha + f * p->width;
            K(ctc_emit)(&t, f);
            if (f == 0)
                for (int64_t s = 0; s < t.places && s < 2; s++)
                    last[s] = t.emit[s];
            else
                K(ctc_step)(last, t.row, t.row - 1, t.row - 2, t.skip, t.emit, t.places);
            memcpy(t.row, last, (size_t)t.places * sizeof *last);
        }
        const REAL *at_end = t.row + t.places - 1;
        REAL none = -(REAL)INFINITY, zero = 0, total;
        K(ctc_step)(&total, at_end, at_end - 1, &none, &zero, &zero, 1);
        ((REAL *)p->loss)[n] = t.frames || t.places > 1 ? -total : 0;
    }
}

static void K(ctc_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_ctc_args *p = args;
    for (int64_t n = begin; n < end; n++) {
        K(ctc_t) t = K(ctc_of)(p, n, scratch);
        const REAL *alpha = (const REAL *)p->alpha + n * p->t * p->width;
        REAL *dx = (REAL *)p->dx + n * p->classes, *beta = t.next;
        REAL dy = ((const REAL *)p->dy)[n], loss = ((const REAL *)p->loss)[n];
        for (int64_t f = 0; f < p->t; f++)
            memset(dx + f * t.step, 0, (size_t)p->classes * sizeof *dx);
        for (int64_t s = t.places > 1 ? t.places - 2 : 0; s < t.places; s++)
            beta[s] = 0;
        for (int64_t f = t.frames - 1; f >= 0; f--) {
            if (f < t.frames - 1) {
                /* emit is that of frame f + 1, and is free once it is added; what it holds next is zeros to add */
                for (int64_t s = 0; s < t.places; s++) {
                    t.row[s] = beta[s] + t.emit[s];
                    t.emit[s] = 0;
                }
                K(ctc_step)(beta, t.row, t.row + 1, t.row + 2, t.skip + 2, t.emit, t.places);
            }
            K(ctc_emit)(&t, f);
            const REAL *a = alpha + f * p->width;
            for (int64_t s = 0; s < t.places; s++)
                t.row[s] = dy * K(exp_neg)(a[s] + beta[s] + loss);
            for (int64_t s = 0; s < t.places; s++)
                dx[f * t.step + K(ctc_label)(&t, s)] -= t.row[s];
        }
    }
}
