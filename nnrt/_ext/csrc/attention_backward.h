/* The backward pass: gradients of queries, keys and values, and of a mask. Included once per dtype. */

/* The block's rows of x, apart(size) elements apart. */
static const REAL *K(rows_of)(const K(attention_block) *c, REAL *room, const nnrt_attention_array *x, int64_t size)
{
    const int64_t step = K(apart)(size);
    const int index = c->a->part && c->a->part->q_index;
    if (x->step[2] == step && !index)
        return K(row_of)(x, c->b, c->h, c->rows[0]);
    for (int64_t i = 0, n; i < c->count; i += n) {
        n = index ? 1 : c->count;
        K(copy_rows)(room + i * step, step, K(row_of)(x, c->b, c->h, c->rows[i]), x->step[2], n, size);
    }
    return room;
}

/* dout, and of each query lse and <dout, out>. */
static void K(turn_back)(K(attention_block) *c, REAL *x_room, REAL *dy_room)
{
    const nnrt_attention_args *a = c->a;
    const REAL *lse = (const REAL *)a->lse + c->head * a->queries;
    K(pack_block)(c, c->dout, &a->dout, a->width);
    c->x = K(rows_of)(c, x_room, &a->q, a->size);
    c->dy = K(rows_of)(c, dy_room, &a->dout, a->width);
    for (int64_t i = 0; i < c->panels * NR; i++) {
        const REAL *x = K(row_of)(&a->dout, c->b, c->h, c->rows[i]), *y = K(row_of)(&a->out, c->b, c->h, c->rows[i]);
        c->delta[i] = K(dot_row)(x, y, a->width);
        if (a->mass.data) /* out = p v + mass values: both carry gradients of p */
            c->delta[i] += K(dot_row)(K(row_of)(&a->dmass, c->b, c->h, c->rows[i]),
                                      K(row_of)(&a->mass, c->b, c->h, c->rows[i]), 2 * a->reach + 1);
        c->top[i] = lse[c->rows[i]] == (REAL)-INFINITY ? 0 : lse[c->rows[i]];
    }
}

/* Panel p of the softmax after dropout, and of the gradient of its scores; lanes without a query are zero. */
FAST static void K(gradients)(const K(attention_block) *c, const attention_run *run, int64_t p, REAL *s,
                              REAL *ds, int64_t n)
{
    const nnrt_attention_args *a = c->a;
    const REAL *top = c->top + p * NR, *delta = c->delta + p * NR;
    K(scores)(c, run, p, s, n);
    K(panel_product)(a->gemm, ds, c->v, c->v_step, n, c->dout + p * a->width * NR, a->width);
    if (a->dmass.data)
        K(add_relative)(c, &a->dmass, p, ds, n); /* mass[i, distance] += p */
    for (int64_t i = 0; i < NR; i += VL) {
        const K(vec) base = K(load)(top + i), less = K(load)(delta + i);
        for (REAL *x = s + i, *dx = ds + i; x < s + n * NR; x += NR, dx += NR) {
            const K(vec) e = K(exp_vec)(K(load)(x) - base);
            K(store)(x, e);
            if (!a->dropout)
                K(store)(dx, e * (K(load)(dx) - less));
        }
    }
    if (a->dropout) {
        K(drop)(c, p, ds, n);
        for (int64_t i = 0; i < n * NR; i += VL)
            K(store)(ds + i, K(load)(s + i) * (K(load)(ds + i) - K(load)(delta + i % NR)));
        K(drop)(c, p, s, n);
    }
    for (int64_t l = c->count - p * NR; l < NR; l++)
        for (int64_t r = 0; r < n; r++)
            s[r * NR + l] = ds[r * NR + l] = 0;
}

/* y[key r][:] = scale Σ_i s[r][i] x[i][:] + (again ? y : 0), over the queries of all panels that meet the key. */
static void K(key_sums)(const K(attention_block) *c, REAL *y, int64_t y_step, const REAL *s, int64_t keys,
                        const REAL *x, int64_t size, REAL scale, int again)
{
    const nnrt_attention_args *a = c->a;
    const int64_t panel = a->cols * NR, ahead = c->cols[0] - c->rows[0] - a->first;
    for (int64_t r = 0, end = keys, p = 0; r < keys; r = end) {
        if (a->causal && !a->part) {
            p = MAX(0, ahead + r) / NR;
            end = MIN(keys, (p + 1) * NR - ahead);
        }
        const K(left) l = {s + p * panel + r * NR, NR, 1, c->count - p * NR, NR, panel};
        K(product)(a->gemm, y + r * y_step, y_step, end - r, size, &l, x + p * NR * K(apart)(size), K(apart)(size),
                   scale, again);
    }
}

/* The same for the keys of a run, into an array or its partial sums (`step` elements
 * between rows); room: [cols, size]. */
static void K(give_keys)(const K(attention_block) *c, REAL *y, int64_t step, const attention_run *run, const REAL *s,
                         const REAL *x, int64_t size, REAL scale, int again, REAL *room)
{
    if (!(c->a->part && c->a->part->k_index)) {
        K(key_sums)(c, y + c->cols[0] * step, step, s, run->count, x, size, scale, again);
        return;
    }
    K(key_sums)(c, room, size, s, run->count, x, size, scale, 0);
    for (int64_t r = 0; r < run->count; r++)
        K(scale_row)(y + c->cols[r] * step, room + r * size, size, 1, 1);
}

/* Writes a block's sums to the rows of y, or adds them to it. */
static void K(give_rows)(const K(attention_block) *c, const nnrt_attention_array *y, const REAL *sums, int64_t size,
                         REAL scale, int again)
{
    for (int64_t i = 0; i < c->count; i++)
        K(scale_row)(K(row_of)(y, c->b, c->h, c->rows[i]), sums + i * size, size, scale, again);
}

static void K(attention_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_attention_args *a = args;
    const int64_t blocks = a->part ? a->part->q_blocks : CEIL(a->queries, a->rows), width = 2 * a->reach + 1;
    const int64_t shared = a->heads / a->groups, panel = a->cols * NR;
    const int again = a->part && a->part->again;
    char *room = scratch;
    K(attention_block) c = K(block_in)(a, &room, 1);
    const K(attention_sums) sums = K(sums_in)(a, &room, 1);
    REAL *k = (REAL *)c.k, *v = (REAL *)c.v, *x = (REAL *)c.x, *dy = (REAL *)c.dy;
    for (int64_t task = begin; task < end; task++) {
        const int64_t chunk = task % a->chunks, b = task / a->chunks / a->groups, g = task / a->chunks % a->groups;
        REAL *dk = a->dk.data ? K(row_of)(&a->dk, b, g, 0) : NULL, *dv = a->dv.data ? K(row_of)(&a->dv, b, g, 0) : NULL;
        int64_t dk_step = a->dk.step[2], dv_step = a->dv.step[2];
        if (a->partial) {
            const int64_t each = a->keys * (a->size + a->width);
            dk = (REAL *)a->partial + ((chunk * a->batch + b) * a->groups + g) * each;
            dv = dk + a->keys * a->size;
            dk_step = a->size, dv_step = a->width;
        }
        /* The first block writes what it gives to the keys that it meets, the others add. */
        const int64_t units = shared * blocks, step = a->stretches ? 1 : a->chunks;
        int64_t j = a->part || !units ? a->met[chunk][0] : a->keys;
        if (a->causal && !a->part && units)
            j = MIN(j, MIN(a->queries, (blocks - chunk % blocks) * a->rows) + a->first);
        for (; !again && j < a->met[chunk][1]; j++) {
            if (dk)
                K(zero_row)(dk + j * dk_step, a->size);
            if (dv)
                K(zero_row)(dv + j * dv_step, a->width);
        }
        const int64_t from = a->stretches ? chunk * units / a->chunks : chunk;
        for (int64_t unit = from; unit < (a->stretches ? (chunk + 1) * units / a->chunks : units); unit += step) {
            const int64_t t = blocks - 1 - unit % blocks;
            int64_t next = 0;
            int met = 0, add = unit != chunk || a->part;
            attention_run run;
            K(turn_to)(&c, b, g * shared + unit / blocks, t);
            K(turn_back)(&c, x, dy);
            if (a->drelative.data)
                K(zero_row)(sums.by_distance, c.count * width);
            while (attention_next(a, t, c.rows[c.count - 1] + 1, &next, &run)) {
                K(meet)(&c, &run, k, v);
                for (int64_t p = 0; p < c.panels; p++) {
                    const int64_t n = K(met)(&c, &run, p);
                    REAL *ds = sums.ds + p * panel;
                    K(ask)(&c, p, 8);
                    K(gradients)(&c, &run, p, sums.p + p * panel, ds, n);
                    if (a->drelative.data && n)
                        K(sum_relative)(&c, sums.by_distance, p, ds, n);
                    if (a->dq.data && n)
                        K(panel_sums)(a->gemm, sums.out + p * NR * a->size, ds, n, c.k, c.k_step, a->size, met);
                }
                met = 1;
                if (dk)
                    K(give_keys)(&c, dk, dk_step, &run, sums.ds, c.x, a->size, (REAL)a->scale, add, k);
                if (dv)
                    K(give_keys)(&c, dv, dv_step, &run, sums.p, c.dy, a->width, 1, add, v);
            }
            if (!met)
                K(zero_row)(sums.out, c.count * a->size);
            if (a->dq.data)
                K(give_rows)(&c, &a->dq, sums.out, a->size, (REAL)a->scale, again);
            if (a->drelative.data)
                K(give_rows)(&c, &a->drelative, sums.by_distance, width, 1, again);
        }
    }
}

/* Keys of a task of the kernel below. */
#define GATHERED 256

/* dk and dv: the chunks' sums, in order. */
static void K(attention_gather)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_attention_args *a = args;
    const int64_t blocks = CEIL(a->keys, GATHERED), all = a->batch * a->groups * a->keys * (a->size + a->width);
    for (int64_t task = begin; task < end; task++) {
        const int64_t head = task / blocks, j0 = task % blocks * GATHERED, j1 = MIN(j0 + GATHERED, a->keys);
        const REAL *from = (const REAL *)a->partial + head * a->keys * (a->size + a->width);
        for (int which = 0; which < 2; which++) {
            const nnrt_attention_array *to = which ? &a->dv : &a->dk;
            const int64_t size = which ? a->width : a->size;
            for (int64_t j = j0; to->data && j < j1; j++) {
                REAL *y = K(row_of)(to, head / a->groups, head % a->groups, j);
                const REAL *x = from + (which ? a->keys * a->size : 0) + j * size;
                int some = 0;
                for (int64_t i = 0; i < a->chunks; i++)
                    if (j >= a->met[i][0] && j < a->met[i][1])
                        K(scale_row)(y, x + i * all, size, 1, some++);
                if (!some)
                    K(zero_row)(y, size);
            }
        }
    }
}

/* dmask: what ds adds up to over the heads, queries and keys that share an element. */
static void K(attention_of_mask)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_attention_args *a = args;
    const int64_t blocks = a->part ? a->part->q_blocks : CEIL(a->queries, a->rows), *size = a->dmask_size;
    const int64_t down = a->part || size[2] == 1 ? 1 : blocks;
    const int64_t across = a->part || size[3] == 1 ? 1 : CEIL(a->keys, a->cols);
    const int64_t row = size[2] == 1 ? 0 : size[3], col = size[3] == 1 ? 0 : 1;
    char *room = scratch;
    K(attention_block) c = K(block_in)(a, &room, 1);
    const K(attention_sums) sums = K(sums_in)(a, &room, 1);
    REAL *k = (REAL *)c.k, *v = (REAL *)c.v, *x = (REAL *)c.x, *dy = (REAL *)c.dy;
    for (int64_t task = begin; task < end; task++) {
        const int64_t j0 = task % across * a->cols, t0 = task / across % down, head = task / across / down;
        const int64_t t1 = down == 1 ? blocks : t0 + 1, j1 = across == 1 ? a->keys : MIN(j0 + a->cols, a->keys);
        REAL *to = (REAL *)a->dmask + head * size[2] * size[3];
        for (int64_t i = row ? t0 * a->rows : 0; i < (row ? MIN(t1 * a->rows, a->queries) : 1); i++)
            for (int64_t j = col ? j0 : 0; j < (col ? j1 : 1) && !(a->part && a->part->again); j++)
                to[i * row + j] = 0;
        for (int64_t n = 0; n < a->batch * a->heads; n++) {
            const int64_t b = n / a->heads, h = n % a->heads;
            if ((size[0] == 1 ? 0 : b) * size[1] + (size[1] == 1 ? 0 : h) != head)
                continue;
            for (int64_t t = t0; t < t1; t++) {
                int64_t next = j0;
                attention_run run;
                K(turn_to)(&c, b, h, t);
                K(turn_back)(&c, x, dy);
                while (attention_next(a, t, c.rows[c.count - 1] + 1, &next, &run)) {
                    if (!a->part && run.at >= j1)
                        break;
                    K(meet)(&c, &run, k, v);
                    for (int64_t p = 0; p < c.panels; p++) {
                        const int64_t met = K(met)(&c, &run, p), lanes = MIN(NR, c.count - p * NR);
                        if (met == 0)
                            continue;
                        K(gradients)(&c, &run, p, sums.p, sums.ds, met);
                        for (int64_t l = 0; l < lanes; l++)
                            for (int64_t r = 0; r < met; r++)
                                to[c.rows[p * NR + l] * row + c.cols[r] * col] += sums.ds[r * NR + l];
                    }
                }
            }
        }
    }
}
