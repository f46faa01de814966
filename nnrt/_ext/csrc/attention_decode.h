/* One query of each head, as in generation: two products of a vector with a matrix that is
 * read once. Included once per dtype. */

/* s[4] = the products of q with four rows. */
static void K(four_dots)(REAL *s, const REAL *q, const REAL *k, int64_t step, int64_t size)
{
    K(vec) w = {0}, x = {0}, y = {0}, z = {0};
    int64_t d = 0;
    for (; d + VL <= size; d += VL) {
        const K(vec) t = K(load)(q + d);
        w += t * K(load)(k + d);
        x += t * K(load)(k + step + d);
        y += t * K(load)(k + 2 * step + d);
        z += t * K(load)(k + 3 * step + d);
    }
    s[0] = K(sum_lanes)(w), s[1] = K(sum_lanes)(x), s[2] = K(sum_lanes)(y), s[3] = K(sum_lanes)(z);
    for (; d < size; d++)
        for (int64_t i = 0; i < 4; i++)
            s[i] += q[d] * k[i * step + d];
}

/* out[size] = scale out + Σ_j p[j] v[j] */
static void K(weighted_rows)(REAL *out, REAL scale, const REAL *p, const REAL *v, int64_t step, int64_t n, int64_t size)
{
    int64_t e = 0;
    for (; e + 4 * VL <= size; e += 4 * VL) {
        K(vec) w = scale * K(load)(out + e), x = scale * K(load)(out + e + VL);
        K(vec) y = scale * K(load)(out + e + 2 * VL), z = scale * K(load)(out + e + 3 * VL);
        for (int64_t j = 0; j < n; j++) {
            const REAL *from = v + j * step + e;
            const K(vec) t = K(splat)(p[j]);
            w += t * K(load)(from);
            x += t * K(load)(from + VL);
            y += t * K(load)(from + 2 * VL);
            z += t * K(load)(from + 3 * VL);
        }
        K(store)(out + e, w), K(store)(out + e + VL, x);
        K(store)(out + e + 2 * VL, y), K(store)(out + e + 3 * VL, z);
    }
    if (e == size)
        return;
    K(scale_row)(out + e, out + e, size - e, scale, 0);
    for (int64_t j = 0; j < n; j++)
        K(scale_row)(out + e, v + j * step + e, size - e, p[j], 1);
}

static void K(attention_decode)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_attention_args *a = args;
    REAL *s = scratch, *sums = s + a->cols;
    for (int64_t task = begin; task < end; task++) {
        const int64_t chunk = task % a->chunks, head = task / a->chunks, b = head / a->heads, h = head % a->heads;
        const int64_t g = h / (a->heads / a->groups), at = b * a->mask_step[0] + h * a->mask_step[1];
        const int64_t keys = a->causal ? MIN(a->keys, a->first + 1) : a->keys, each = CEIL(keys, a->chunks);
        const int64_t end_key = MIN(keys, (chunk + 1) * each);
        const REAL *q = K(row_of)(&a->q, b, h, 0), scale = (REAL)a->scale;
        REAL top = (REAL)-INFINITY, sum = 0;
        K(zero_row)(sums, a->width);
        for (int64_t j0 = chunk * each, n; j0 < end_key; j0 += n) {
            n = MIN(a->cols, end_key - j0);
            const REAL *k = K(row_of)(&a->k, b, g, j0);
            int64_t j = 0;
            for (; j + 4 <= n; j += 4)
                K(four_dots)(s + j, q, k + j * a->k.step[2], a->k.step[2], a->size);
            for (; j < n; j++)
                s[j] = K(dot_row)(q, k + j * a->k.step[2], a->size);
            REAL most = top;
            for (j = 0; j < n; j++) {
                REAL x = scale * s[j];
                if (a->slopes)
                    x -= ((const REAL *)a->slopes)[h]
                         * (REAL)(a->first < j0 + j ? j0 + j - a->first : a->first - j0 - j);
                if (a->mask) {
                    const int64_t i = at + (j0 + j) * a->mask_step[3];
                    x += !a->boolean ? ((const REAL *)a->mask)[i] : ((const uint8_t *)a->mask)[i] ? 0 : (REAL)-INFINITY;
                }
                s[j] = x;
                most = x > most ? x : most;
            }
            const REAL base = most == (REAL)-INFINITY ? 0 : most, factor = K(exp_neg)(top - base);
            K(vec) totals = {0};
            for (j = 0; j + VL <= n; j += VL) {
                const K(vec) e = K(exp_vec)(K(load)(s + j) - base);
                K(store)(s + j, e);
                totals += e;
            }
            REAL total = K(sum_lanes)(totals);
            for (; j < n; j++)
                total += s[j] = K(exp_neg)(s[j] - base);
            sum = sum * factor + total;
            top = most;
            K(weighted_rows)(sums, factor, s, K(row_of)(&a->v, b, g, j0), a->v.step[2], n, a->width);
        }
        if (a->partial) {
            REAL *to = (REAL *)a->partial + task * (a->width + 2);
            K(scale_row)(to, sums, a->width, 1, 0);
            to[a->width] = top, to[a->width + 1] = sum;
            continue;
        }
        K(scale_row)(K(row_of)(&a->out, b, h, 0), sums, a->width, sum == 0 ? 0 : 1 / sum, 0);
    }
}

/* out from the sums of the chunks. */
static void K(attention_merge)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_attention_args *a = args;
    const int64_t w = a->width;
    for (int64_t head = begin; head < end; head++) {
        const REAL *from = (const REAL *)a->partial + head * a->chunks * (w + 2);
        REAL *to = K(row_of)(&a->out, head / a->heads, head % a->heads, 0), top = (REAL)-INFINITY, sum = 0;
        for (int64_t i = 0; i < a->chunks; i++)
            top = from[i * (w + 2) + w] > top ? from[i * (w + 2) + w] : top;
        top = top == (REAL)-INFINITY ? 0 : top;
        for (int64_t i = 0; i < a->chunks; i++) {
            const REAL *x = from + i * (w + 2), factor = K(exp_neg)(x[w] - top);
            sum += factor * x[w + 1];
            K(scale_row)(to, x, w, factor, i > 0);
        }
        K(scale_row)(to, to, w, sum == 0 ? 0 : 1 / sum, 0);
    }
}
