/* One line of each transform, r = matrix d, with the matrices of nnrt._ref.winograd. Included once per dtype. */

#define HALF_ROOT ((REAL)0.70710678118654752440)
#define LINE(name) INLINE void K(name)(K(vec) * r, const K(vec) * d)

/* B^T, of x */
LINE(bt_2)
{
    r[0] = d[0] - d[2], r[1] = d[1] + d[2], r[2] = d[2] - d[1], r[3] = d[3] - d[1];
}
LINE(bt_4)
{
    const K(vec) even1 = d[4] - 2 * d[2], odd1 = d[3] - 2 * d[1];
    const K(vec) even2 = d[4] - (REAL)0.5 * d[2], odd2 = d[3] - (REAL)0.5 * d[1];
    r[0] = d[0] - (REAL)2.5 * d[2] + d[4];
    r[1] = even1 + HALF_ROOT * odd1, r[2] = even1 - HALF_ROOT * odd1;
    r[3] = even2 + 2 * HALF_ROOT * odd2, r[4] = even2 - 2 * HALF_ROOT * odd2;
    r[5] = d[1] - (REAL)2.5 * d[3] + d[5];
}

/* A^T, of the products */
LINE(at_2)
{
    r[0] = d[0] + (d[1] + d[2]), r[1] = d[3] + (d[1] - d[2]);
}
LINE(at_4)
{
    const K(vec) sum1 = d[1] + d[2], sum2 = d[3] + d[4], diff1 = d[1] - d[2], diff2 = d[3] - d[4];
    r[0] = d[0] + sum1 + sum2;
    r[1] = HALF_ROOT * (diff1 + 2 * diff2);
    r[2] = (REAL)0.5 * sum1 + 2 * sum2;
    r[3] = d[5] + HALF_ROOT / 2 * (diff1 + 8 * diff2);
}

/* A, of dy */
LINE(a_2)
{
    r[0] = d[0], r[1] = d[0] + d[1], r[2] = d[0] - d[1], r[3] = d[1];
}
LINE(a_4)
{
    const K(vec) even1 = d[0] + (REAL)0.5 * d[2], odd1 = d[1] + (REAL)0.5 * d[3];
    const K(vec) even2 = d[0] + 2 * d[2], odd2 = d[1] + 2 * d[3];
    r[0] = d[0];
    r[1] = even1 + HALF_ROOT * odd1, r[2] = even1 - HALF_ROOT * odd1;
    r[3] = even2 + 2 * HALF_ROOT * odd2, r[4] = even2 - 2 * HALF_ROOT * odd2;
    r[5] = d[3];
}

/* G, of w */
LINE(g_2)
{
    const K(vec) even = (REAL)0.5 * (d[0] + d[2]), odd = (REAL)0.5 * d[1];
    r[0] = d[0], r[1] = even + odd, r[2] = even - odd, r[3] = d[2];
}
INLINE void K(g)(const int taps, K(vec) *r, const K(vec) *d) /* at six points */
{
    K(vec) even1 = (REAL)(-2.0 / 3) * d[0] - (REAL)(1.0 / 3) * d[2], odd1 = d[1];
    K(vec) even2 = (REAL)(1.0 / 6) * d[0] + (REAL)(1.0 / 3) * d[2], odd2 = d[1];
    if (taps > 3)
        odd1 += (REAL)0.5 * d[3], odd2 += 2 * d[3];
    if (taps > 4)
        even1 -= (REAL)(1.0 / 6) * d[4], even2 += (REAL)(2.0 / 3) * d[4];
    odd1 *= (REAL)(2.0 / 3) * HALF_ROOT, odd2 *= (REAL)(1.0 / 3) * HALF_ROOT;
    r[0] = d[0];
    r[1] = even1 - odd1, r[2] = even1 + odd1;
    r[3] = even2 + odd2, r[4] = even2 - odd2;
    r[5] = d[taps - 1];
}
LINE(g_4) { K(g)(3, r, d); }

/* G^T, of the sums of dw */
LINE(gt_2)
{
    r[0] = d[0] + (REAL)0.5 * (d[1] + d[2]), r[1] = (REAL)0.5 * (d[1] - d[2]), r[2] = d[3] + (REAL)0.5 * (d[1] + d[2]);
}
LINE(gt_4)
{
    const K(vec) sum1 = d[1] + d[2], sum2 = d[3] + d[4], diff1 = d[2] - d[1], diff2 = d[3] - d[4];
    r[0] = d[0] - (REAL)(2.0 / 3) * sum1 + (REAL)(1.0 / 6) * sum2;
    r[1] = (REAL)(2.0 / 3) * HALF_ROOT * diff1 + (REAL)(1.0 / 3) * HALF_ROOT * diff2;
    r[2] = d[5] - (REAL)(1.0 / 3) * sum1 + (REAL)(1.0 / 3) * sum2;
}

/* 5 taps, tile 2: the points of 3 taps, tile 4 */
LINE(at_5)
{
    r[0] = d[0] + (d[1] + d[2]) + (d[3] + d[4]), r[1] = d[5] + HALF_ROOT * ((d[1] - d[2]) + 2 * (d[3] - d[4]));
}
LINE(a_5)
{
    const K(vec) odd = HALF_ROOT * d[1];
    r[0] = d[0], r[1] = d[0] + odd, r[2] = d[0] - odd, r[3] = d[0] + 2 * odd, r[4] = d[0] - 2 * odd, r[5] = d[1];
}
LINE(g_5) { K(g)(5, r, d); }
LINE(gt_5)
{
    const K(vec) sum1 = (REAL)(1.0 / 3) * (d[1] + d[2]), sum2 = (REAL)(1.0 / 3) * (d[3] + d[4]);
    const K(vec) diff1 = (REAL)(1.0 / 3) * HALF_ROOT * (d[2] - d[1]);
    const K(vec) diff2 = (REAL)(1.0 / 3) * HALF_ROOT * (d[3] - d[4]);
    r[0] = d[0] - 2 * sum1 + (REAL)0.5 * sum2;
    r[1] = 2 * diff1 + diff2;
    r[2] = sum2 - sum1;
    r[3] = diff1 + 2 * diff2;
    r[4] = d[5] - (REAL)0.5 * sum1 + 2 * sum2;
}

/* 4 taps, tile 3: the same points */
LINE(at_3)
{
    const K(vec) sum1 = d[1] + d[2], sum2 = d[3] + d[4];
    r[0] = d[0] + sum1 + sum2;
    r[1] = HALF_ROOT * ((d[1] - d[2]) + 2 * (d[3] - d[4]));
    r[2] = d[5] + (REAL)0.5 * sum1 + 2 * sum2;
}
LINE(a_3)
{
    const K(vec) even1 = d[0] + (REAL)0.5 * d[2], even2 = d[0] + 2 * d[2], odd = HALF_ROOT * d[1];
    r[0] = d[0], r[1] = even1 + odd, r[2] = even1 - odd, r[3] = even2 + 2 * odd, r[4] = even2 - 2 * odd, r[5] = d[2];
}
LINE(g_3) { K(g)(4, r, d); }
LINE(gt_3)
{
    const K(vec) sum1 = (REAL)(1.0 / 3) * (d[1] + d[2]), sum2 = (REAL)(1.0 / 3) * (d[3] + d[4]);
    const K(vec) diff1 = (REAL)(1.0 / 3) * HALF_ROOT * (d[2] - d[1]);
    const K(vec) diff2 = (REAL)(1.0 / 3) * HALF_ROOT * (d[3] - d[4]);
    r[0] = d[0] - 2 * sum1 + (REAL)0.5 * sum2;
    r[1] = 2 * diff1 + diff2;
    r[2] = sum2 - sum1;
    r[3] = d[5] + diff1 + 2 * diff2;
}

/* 2 taps, tile 2: points 0, 1 */
LINE(bt_2s)
{
    r[0] = d[0] - d[1], r[1] = d[1], r[2] = d[2] - d[1];
}
LINE(at_2s)
{
    r[0] = d[0] + d[1], r[1] = d[1] + d[2];
}
LINE(a_2s)
{
    r[0] = d[0], r[1] = d[0] + d[1], r[2] = d[1];
}
LINE(g_2s)
{
    r[0] = d[0], r[1] = d[0] + d[1], r[2] = d[1];
}
LINE(gt_2s)
{
    r[0] = d[0] + d[1], r[1] = d[1] + d[2];
}

/* 2 taps, tile 4: points ±1/2 and ±5/4. */
LINE(bt_4s)
{
    const K(vec) odd1 = d[3] - (REAL)1.5625 * d[1], even1 = (REAL)0.5 * d[2] - (REAL)0.78125 * d[0];
    const K(vec) odd2 = d[3] - (REAL)0.25 * d[1], even2 = (REAL)1.25 * d[2] - (REAL)0.3125 * d[0];
    r[0] = odd1 + even1, r[1] = odd1 - even1;
    r[2] = odd2 + even2, r[3] = odd2 - even2;
    r[4] = d[4] - (REAL)1.8125 * d[2] + (REAL)0.390625 * d[0];
}
LINE(at_4s)
{
    const K(vec) sum1 = d[0] + d[1], sum2 = d[2] + d[3], diff1 = d[0] - d[1], diff2 = d[2] - d[3];
    r[0] = sum1 + sum2;
    r[1] = (REAL)0.5 * diff1 + (REAL)1.25 * diff2;
    r[2] = (REAL)0.25 * sum1 + (REAL)1.5625 * sum2;
    r[3] = d[4] + (REAL)0.125 * diff1 + (REAL)1.953125 * diff2;
}
LINE(a_4s)
{
    const K(vec) even1 = d[0] + (REAL)0.25 * d[2], odd1 = (REAL)0.5 * d[1] + (REAL)0.125 * d[3];
    const K(vec) even2 = d[0] + (REAL)1.5625 * d[2], odd2 = (REAL)1.25 * d[1] + (REAL)1.953125 * d[3];
    r[0] = even1 + odd1, r[1] = even1 - odd1;
    r[2] = even2 + odd2, r[3] = even2 - odd2;
    r[4] = d[3];
}
LINE(g_4s)
{
    const K(vec) one = (REAL)(-16.0 / 21) * d[0], half = (REAL)(-8.0 / 21) * d[1];
    const K(vec) two = (REAL)(32.0 / 105) * d[0], more = (REAL)(8.0 / 21) * d[1];
    r[0] = one + half, r[1] = half - one;
    r[2] = two + more, r[3] = more - two;
    r[4] = d[1];
}
LINE(gt_4s)
{
    r[0] = (REAL)(16.0 / 21) * (d[1] - d[0]) + (REAL)(32.0 / 105) * (d[2] - d[3]);
    r[1] = d[4] + (REAL)(8.0 / 21) * ((d[2] + d[3]) - (d[0] + d[1]));
}
