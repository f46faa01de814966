/* Blocks in scratch, and the forward pass. Included once per dtype. */

/* The next `count` elements of scratch, from a cache line on. */
static void *K(cut)(char **scratch, int64_t count, int64_t size)
{
    char *at = *scratch;
    *scratch += (count * size + 63) / 64 * 64;
    return at;
}

/* What a block of queries needs: where its arrays lie in scratch. Both passes. */
static K(attention_block) K(block_in)(const nnrt_attention_args *a, char **scratch, int backward)
{
    const int64_t rows = CEIL(a->rows, NR) * NR;
    K(attention_block) c = {.a = a};
    c.rows = K(cut)(scratch, rows, sizeof(int64_t));
    c.cols = K(cut)(scratch, a->cols, sizeof(int64_t));
    c.q = K(cut)(scratch, rows * a->size, sizeof(REAL));
    c.dout = K(cut)(scratch, backward ? rows * a->width : 0, sizeof(REAL));
    c.top = K(cut)(scratch, rows, sizeof(REAL));
    c.sum = K(cut)(scratch, rows, sizeof(REAL));
    c.delta = K(cut)(scratch, rows, sizeof(REAL));
    c.k = K(cut)(scratch, a->cols * a->size, sizeof(REAL));
    c.v = K(cut)(scratch, a->cols * a->width, sizeof(REAL));
    c.x = K(cut)(scratch, backward ? rows * K(apart)(a->size) : 0, sizeof(REAL));
    c.dy = K(cut)(scratch, backward ? rows * K(apart)(a->width) : 0, sizeof(REAL));
    c.room = K(cut)(scratch, a->mask ? 2 * NR * a->cols : 0, sizeof(REAL));
    return c;
}

/* Sums of a block: out and mass, or dq, drelative, and two sets of panels. */
typedef struct {
    REAL *out, *by_distance, *p, *ds;
} K(attention_sums);

static K(attention_sums) K(sums_in)(const nnrt_attention_args *a, char **scratch, int backward)
{
    const int64_t rows = CEIL(a->rows, NR) * NR;
    const int distances = (backward ? a->drelative.data : a->mass.data) != NULL;
    K(attention_sums) s;
    s.out = K(cut)(scratch, rows * (backward ? a->size : a->width), sizeof(REAL));
    s.by_distance = K(cut)(scratch, distances ? rows * (2 * a->reach + 1) : 0, sizeof(REAL));
    s.p = K(cut)(scratch, (backward ? rows : NR) * a->cols, sizeof(REAL));
    s.ds = K(cut)(scratch, backward ? rows * a->cols : 0, sizeof(REAL));
    return s;
}

static size_t K(attention_scratch)(const nnrt_attention_args *a, int backward)
{
    char *at = NULL;
    K(block_in)(a, &at, backward);
    K(sums_in)(a, &at, backward);
    return (size_t)at;
}

/* Turns to block t of the queries of head h. */
static void K(turn_to)(K(attention_block) *c, int64_t b, int64_t h, int64_t t)
{
    const nnrt_attention_args *a = c->a;
    const nnrt_attention_part *part = a->part;
    const int64_t first = part ? part->q_at[t] : t * a->rows;
    int64_t *rows = (int64_t *)c->rows;
    c->b = b, c->h = h, c->head = b * a->heads + h;
    c->count = part ? part->q_at[t + 1] - first : MIN(a->rows, a->queries - first);
    c->panels = CEIL(c->count, NR);
    for (int64_t i = 0; i < c->panels * NR; i++) {
        const int64_t at = first + MIN(i, c->count - 1);
        rows[i] = part && part->q_index ? part->q_index[at] : at;
    }
    K(pack_block)(c, c->q, &a->q, a->size);
    K(scale_row)(c->q, c->q, c->panels * NR * a->size, (REAL)a->scale, 0);
}

/* The run's rows of x, k or v of head g: where they are, or in `room`, to which they are
 * copied unless they are there already. */
static const REAL *K(run_of)(const K(attention_block) *c, const attention_run *run, const nnrt_attention_array *x,
                             int64_t g, REAL *room, int64_t size, int copied, int64_t *step)
{
    const int index = c->a->part && c->a->part->k_index;
    *step = x->step[2];
    if (!index && (*step == size || c->panels == 1))
        return K(row_of)(x, c->b, g, c->cols[0]);
    for (int64_t r = 0, n; !copied && r < run->count; r += n) {
        n = index ? 1 : run->count;
        K(copy_rows)(room + r * size, size, K(row_of)(x, c->b, g, c->cols[r]), *step, n, size);
    }
    *step = size;
    return room;
}

/* Turns to a run of keys: rows that do not lie one behind the other are copied, once for the blocks of queries that
 * meet them one after the other. `k`, `v`: room for that. */
static void K(meet)(K(attention_block) *c, const attention_run *run, REAL *k, REAL *v)
{
    const nnrt_attention_args *a = c->a;
    const int64_t *index = a->part ? a->part->k_index : NULL, g = c->h / (a->heads / a->groups);
    const int64_t head = c->b * a->groups + g;
    const int copied = c->copied[0] == head && c->copied[1] == run->at && c->copied[2] >= run->count;
    int64_t *cols = (int64_t *)c->cols;
    for (int64_t r = 0; r < run->count; r++)
        cols[r] = index ? index[run->at + r] : run->at + r;
    c->k = K(run_of)(c, run, &a->k, g, k, a->size, copied, &c->k_step);
    c->v = K(run_of)(c, run, &a->v, g, v, a->width, copied, &c->v_step);
    if (!index && !copied && c->panels > 1)
        c->copied[0] = head, c->copied[1] = run->at, c->copied[2] = run->count;
}

/* While panel p is computed, asks for its share of the next head's first `count` arrays from q on: rows of a few lines
 * each, far apart, are no stream to the hardware. Heads of one block only: longer ones compute more than they wait. */
static void K(ask)(const K(attention_block) *c, int64_t p, int64_t count)
{
    const nnrt_attention_args *a = c->a;
    const nnrt_attention_array *const x[] = {&a->q, &a->k, &a->v, &a->out, &a->dout, &a->dq, &a->dk, &a->dv};
    const int64_t head = c->head + 1, b = head / a->heads, h = head % a->heads, end = MIN(p * NR + NR, c->count);
    if (a->part || a->queries > a->rows || a->groups < a->heads || b == a->batch)
        return;
    for (int64_t i = 0; i < count; i++) {
        const char *row = (const char *)K(row_of)(x[i], b, h, p * NR);
        const int64_t step = x[i]->step[2] * (int64_t)sizeof(REAL), bytes = a->size * (int64_t)sizeof(REAL);
        for (int64_t r = p * NR; r < end; r++, row += step)
            for (int64_t d = 0; d < bytes; d += 64)
                __builtin_prefetch(row + d, 0, 2);
    }
}

/* One panel's softmax carried on: s becomes exp(s - top). What was summed before counts factor times. */
static void K(carry_on)(REAL *s, int64_t n, REAL *top, REAL *sum, REAL *factor)
{
    typedef __typeof__((K(vec)){0} > (K(vec)){0}) bits;
    const REAL *end = s + n * NR;
    K(vec) most[2] = {K(load)(top), K(load)(top + VL)};
    for (const REAL *x = s; x < end; x += NR)
        most[0] = K(max_vec)(K(load)(x), most[0]), most[1] = K(max_vec)(K(load)(x + VL), most[1]);
    for (int i = 0; i < 2; i++, s += VL, top += VL, sum += VL, factor += VL) {
        const K(vec) base = (K(vec))((bits)most[i] & (most[i] != (REAL)-INFINITY)); /* 0 where nothing is met yet */
        const K(vec) before = K(exp_vec)(K(load)(top) - base);
        K(vec) total = {0};
        K(store)(factor, before);
        K(store)(top, most[i]);
        for (REAL *x = s; x < end; x += NR) {
            const K(vec) e = K(exp_vec)(K(load)(x) - base);
            K(store)(x, e);
            total += e;
        }
        K(store)(sum, K(load)(sum) * before + total);
    }
}

static void K(attention_forward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_attention_args *a = args;
    const int64_t blocks = a->part ? a->part->q_blocks : CEIL(a->queries, a->rows), width = 2 * a->reach + 1;
    const int again = a->part && a->part->again;
    char *room = scratch;
    K(attention_block) c = K(block_in)(a, &room, 0);
    const K(attention_sums) sums = K(sums_in)(a, &room, 0);
    REAL *k = (REAL *)c.k, *v = (REAL *)c.v;
    for (int64_t task = begin; task < end; task++) {
        const int64_t head = task / blocks, b = head / a->heads, t = blocks - 1 - task % blocks;
        int64_t next = 0;
        attention_run run;
        K(turn_to)(&c, b, head % a->heads, t);
        REAL *lse = a->lse ? (REAL *)a->lse + head * a->queries : NULL;
        for (int64_t i = 0; i < c.panels * NR; i++) {
            c.top[i] = again ? lse[c.rows[i]] : (REAL)-INFINITY;
            c.sum[i] = again && c.top[i] != (REAL)-INFINITY;
        }
        if (a->mass.data)
            K(zero_row)(sums.by_distance, c.count * width);
        for (int64_t i = 0; again && i < c.count; i++) {
            K(scale_row)(sums.out + i * a->width, K(row_of)(&a->out, b, c.h, c.rows[i]), a->width, 1, 0);
            if (a->mass.data)
                K(scale_row)(sums.by_distance + i * width, K(row_of)(&a->mass, b, c.h, c.rows[i]), width, 1, 0);
        }
        int fresh = !again;
        while (attention_next(a, t, c.rows[c.count - 1] + 1, &next, &run)) {
            K(meet)(&c, &run, k, v);
            for (int64_t p = 0; p < c.panels; p++) {
                const int64_t n = K(met)(&c, &run, p), lanes = MIN(NR, c.count - p * NR);
                REAL factor[NR], *out = sums.out + p * NR * a->width;
                if (n == 0)
                    continue;
                K(ask)(&c, p, 3);
                K(scores)(&c, &run, p, sums.p, n);
                K(carry_on)(sums.p, n, c.top + p * NR, c.sum + p * NR, factor);
                for (int64_t l = 0; l < lanes && !fresh; l++)
                    if (factor[l] != 1) {
                        K(scale_row)(out + l * a->width, out + l * a->width, a->width, factor[l], 0);
                        if (a->mass.data) {
                            REAL *row = sums.by_distance + (p * NR + l) * width;
                            K(scale_row)(row, row, width, factor[l], 0);
                        }
                    }
                if (a->dropout)
                    K(drop)(&c, p, sums.p, n);
                if (a->mass.data)
                    K(sum_relative)(&c, sums.by_distance, p, sums.p, n);
                K(panel_sums)(a->gemm, out, sums.p, n, c.v, c.v_step, a->width, !fresh);
            }
            fresh = 0;
        }
        if (fresh)
            K(zero_row)(sums.out, c.count * a->width);
        for (int64_t i = 0; i < c.count; i++) {
            const REAL scale = c.sum[i] == 0 ? 0 : 1 / c.sum[i];
            K(scale_row)(K(row_of)(&a->out, b, c.h, c.rows[i]), sums.out + i * a->width, a->width, scale, 0);
            if (a->mass.data)
                K(scale_row)(K(row_of)(&a->mass, b, c.h, c.rows[i]), sums.by_distance + i * width, width, scale, 0);
            if (lse && i % NR == 0)
                K(normalisers)(c.top + i, c.sum + i);
            if (lse)
                lse[c.rows[i]] = c.top[i];
        }
    }
}
