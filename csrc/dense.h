/* dense.h: Dense forward and backward as three matrix products of one kind,
 *
 *   y = act(x W + b)        dx = g W^T        dW = x^T g        db = column sums of g        g = grad act'(y)
 *
 * A product C = A B runs over panels of B (columns) and blocks of A (rows). The micro-kernel `multiply` holds a tile of
 * C in registers. B is packed into panels that the kernel reads in order, transposed on the way where needed; a matrix
 * that is small or that is read once is used where it lies. Strides say which of the two is meant, so that one driver
 * serves all three products, and also their transposes C^T = B^T A^T, used when C has very few columns.
 *
 * The contract: an element of y or dx is one chain of multiply-adds in increasing k, starting at 0 and carried through C
 * between blocks of k; bias and activation follow the last. No path splits that chain, so a row's result does not
 * depend on the rows beside it, on the block sizes, or on threads. An element of dW or db is a sum over blocks of
 * ROW_BLOCK rows, each its own chain, added in order: that too is a function of the sizes and the data alone. */
#ifndef DENSE_H
#define DENSE_H

enum {
    WIDE = 8, TALL = 8,             /* vectors of the tile with one row; rows of the tile with one vector */
    ROW_BLOCK = 256,                /* rows of one partial sum of dW and db */
    TILE_VECTORS = MR * NV > 12 ? MR * NV : 12,
    PANEL = ROW_BLOCK * NV * LANES, /* reals of a panel packed on the stack */
};

enum { START, CARRY, ADD };         /* a tile's sum starts at 0, or at C, or starts at 0 and is added to C */
enum { NO_BIAS, PER_COLUMN, PER_ROW };

typedef struct {                    /* one tile: C[i][j] (+)= sum over k of A[i][k] B[k][j] */
    size_t depth;
    const real *a;
    size_t a_row, a_step;           /* A[i][k] is a[i a_row + k a_step] */
    const real *b;
    size_t b_step;                  /* B[k][j] is b[k b_step + j] */
    real *c;
    size_t c_row;                   /* C[i][j] is c[i c_row + j] */
    const real *bias;
    int from, bias_kind, relu;
} MicroTile;

/* What follows the last k: bias, and the activation when it is cheap. */
INLINE V finished(const MicroTile *t, V sum, int i, int v)
{
    if (t->bias_kind == PER_COLUMN) sum = sum + load(t->bias + v * LANES);
    if (t->bias_kind == PER_ROW) sum = sum + splat(t->bias[i]);
    return t->relu ? relu(sum) : sum;
}

/* The micro-kernel: mr rows by nv vectors, both constant where it is called, so that acc lives in registers. */
INLINE void multiply(MicroTile t, int mr, int nv)
{
    V acc[TALL][WIDE];
    UNROLLED for (int i = 0; i < mr; i++)
        UNROLLED for (int v = 0; v < nv; v++)
            acc[i][v] = t.from == CARRY ? load(t.c + (size_t)i * t.c_row + v * LANES) : C(0);
    for (size_t k = 0; k < t.depth; k++, t.a += t.a_step, t.b += t.b_step) {
        V b[WIDE];
        UNROLLED for (int v = 0; v < nv; v++) b[v] = load(t.b + v * LANES);
        UNROLLED for (int i = 0; i < mr; i++) {
            V a = splat(t.a[(size_t)i * t.a_row]);
            UNROLLED for (int v = 0; v < nv; v++) acc[i][v] = fma_(a, b[v], acc[i][v]);
        }
    }
    UNROLLED for (int i = 0; i < mr; i++)
        UNROLLED for (int v = 0; v < nv; v++) {
            real *c = t.c + (size_t)i * t.c_row + v * LANES;
            V sum = t.from == ADD ? load(c) + acc[i][v] : acc[i][v];
            store(c, finished(&t, sum, i, v));
        }
}

INLINE void multiply_rows(const MicroTile *t, size_t mr, int nv, int most)
{
    switch (mr) {
    case 1: multiply(*t, 1, nv); break;
    case 2: if (most >= 2) multiply(*t, 2, nv); break;
    case 3: if (most >= 3) multiply(*t, 3, nv); break;
    case 4: if (most >= 4) multiply(*t, 4, nv); break;
    case 5: if (most >= 5) multiply(*t, 5, nv); break;
    case 6: if (most >= 6) multiply(*t, 6, nv); break;
    case 7: if (most >= 7) multiply(*t, 7, nv); break;
    case 8: if (most >= 8) multiply(*t, 8, nv); break;
    }
}

APART void multiply_tall(const MicroTile *t, size_t mr) { multiply_rows(t, mr, 1, TALL); }
APART void multiply_square(const MicroTile *t, size_t mr) { multiply_rows(t, mr, NV, MR); }
APART void multiply_wide(const MicroTile *t, size_t mr)
{
    if (mr == 1) multiply(*t, 1, WIDE);
    else multiply_rows(t, mr, WIDE / 2, 3);
}

typedef struct {                    /* C (m, n) = A (m, k) B (k, n) */
    size_t m, n, k;
    const real *a;
    size_t a_row, a_step;           /* one of the two strides is 1, here and for B */
    const real *b;
    size_t b_step, b_col;
    real *c;
    size_t c_row, c_col;
    const real *bias;
    int bias_kind, activation;
    int sums;                       /* C adds chains of ROW_BLOCK steps, instead of one chain each */
    size_t rows;                    /* most rows of a tile */
    size_t wide;                    /* vectors of the widest panel */
    real *packed;                   /* panels of B, or NULL: used where it lies, or packed block by block */
} Product;

INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
INLINE size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
INLINE size_t padded(size_t columns) { return ceil_div(columns, LANES) * LANES; }

/* Vectors of the panel that begins where `left` columns are left. Only the last of a product may be incomplete. */
INLINE size_t panel_vectors(const Product *p, size_t left)
{
    return left / LANES >= p->wide ? p->wide : ceil_div(left, LANES) >= NV ? NV : 1;
}

/* ---- packing ---- */

/* Copies `rows` pieces of `count` reals and fills them up to `width`, a multiple of LANES. */
static void copy_rows(size_t rows, size_t count, const real *from, size_t from_row, real *to, size_t width)
{
    for (size_t r = 0; r < rows; r++, from += from_row, to += width) {
        size_t i = 0;
        for (; i + LANES <= count; i += LANES) store(to + i, load(from + i));
        if (i < count) store(to + i, load_part(from + i, count - i)), i += LANES;
        for (; i < width; i += LANES) store(to + i, C(0));
    }
}

/* to[k][j] = from[j][k] for `count` columns j, filled up to `width`. */
static void copy_transposed(size_t depth, size_t count, const real *from, size_t from_col, real *to, size_t width)
{
    for (size_t j = 0; j < width; j += LANES) {
        size_t lanes = count > j ? smaller(count - j, LANES) : 0, k = 0;
        const real *column[LANES];
        for (size_t i = 0; i < LANES; i++) column[i] = from + (lanes ? j + smaller(i, lanes - 1) : 0) * from_col;
        for (; k + LANES <= depth; k += LANES) {
            V block[LANES];
            UNROLLED for (int i = 0; i < LANES; i++) block[i] = load(column[i] + k);
            transpose(block);
            UNROLLED for (int i = 0; i < LANES; i++) store(to + (k + (size_t)i) * width + j, block[i]);
        }
        for (; k < depth; k++) for (size_t i = 0; i < LANES; i++) to[k * width + j + i] = column[i][k];
    }
}

/* The panel of B with columns j ... and steps k ... k + depth - 1. */
static void pack_panel(const Product *p, size_t j, size_t width, size_t k, size_t depth, real *to)
{
    const real *from = p->b + k * p->b_step + j * p->b_col;
    size_t count = smaller(width, p->n - j);
    if (p->b_col == 1) copy_rows(depth, count, from, p->b_step, to, width);
    else copy_transposed(depth, count, from, p->b_col, to, width);
}

/* ---- one tile ---- */

/* A tile that is no whole number of vectors, or whose C is transposed, goes through a buffer. */
static void multiply_edge(const Product *p, MicroTile t, size_t mr, size_t vectors, size_t columns,
                          void (*kernel)(const MicroTile *, size_t))
{
    real edge[TILE_VECTORS * LANES], bias[WIDE * LANES];
    real *c = t.c;
    size_t width = vectors * LANES;
    if (t.bias_kind == PER_COLUMN) {
        copy_rows(1, columns, t.bias, 0, bias, width);
        t.bias = bias;
    }
    if (t.from != START && p->c_col == 1) copy_rows(mr, columns, c, p->c_row, edge, width);
    else if (t.from != START)
        for (size_t i = 0; i < mr; i++)
            for (size_t j = 0; j < width; j++)
                edge[i * width + j] = j < columns ? c[i * p->c_row + j * p->c_col] : 0;
    t.c = edge;
    t.c_row = width;
    kernel(&t, mr);
    for (size_t i = 0; i < mr; i++) {
        size_t j = 0;
        if (p->c_col == 1)
            for (; j < columns; j += LANES) store_part(c + i * p->c_row + j, load(edge + i * width + j), columns - j);
        for (; j < columns; j++) c[i * p->c_row + j * p->c_col] = edge[i * width + j];
    }
}

static void multiply_tile(const Product *p, MicroTile *t, size_t i, size_t mr, size_t j, size_t vectors)
{
    void (*kernel)(const MicroTile *, size_t) = vectors == 1 ? multiply_tall : vectors == NV ? multiply_square : multiply_wide;
    size_t columns = smaller(p->n - j, vectors * LANES);
    t->c = p->c + i * p->c_row + j * p->c_col;
    t->c_row = p->c_row;
    if (p->bias) t->bias = p->bias + (p->bias_kind == PER_ROW ? i : j);
    if (p->c_col == 1 && columns == vectors * LANES) kernel(t, mr);
    else multiply_edge(p, *t, mr, vectors, columns, kernel);
}

/* ---- one block of k, one block of rows ---- */

/* Rows are split evenly: a last tile of one row would wait for its own chain instead of filling the machine. */
INLINE size_t tile_row(size_t tile, size_t tiles, size_t rows) { return rows * tile / tiles; }

static void multiply_panel(const Product *p, MicroTile t, size_t first, size_t rows, size_t j, size_t vectors)
{
    size_t tiles = ceil_div(rows, p->rows);
    const real *a = t.a;
    for (size_t tile = 0; tile < tiles; tile++) {
        size_t i = tile_row(tile, tiles, rows), mr = tile_row(tile + 1, tiles, rows) - i;
        t.a = a + i * t.a_row;
        multiply_tile(p, &t, first + i, mr, j, vectors);
    }
}

/* Rows first ... first + rows - 1, all columns from j to end, steps k ... k + depth - 1. */
static void multiply_block(const Product *p, size_t first, size_t rows, size_t j, size_t end, size_t k, size_t depth)
{
    int last = k + depth == p->k;
    real panel[PANEL];
    MicroTile t = {.depth = depth, .a = p->a + first * p->a_row + k * p->a_step, .a_row = p->a_row, .a_step = p->a_step,
              .from = k == 0 ? START : p->sums ? ADD : CARRY, .bias_kind = last && p->bias ? p->bias_kind : NO_BIAS,
              .relu = last && p->activation == PS_RELU};
    for (size_t vectors; j < end; j += vectors * LANES) {
        vectors = panel_vectors(p, p->n - j);
        size_t width = vectors * LANES;
        if (p->packed) t.b = p->packed + j * p->k + k * width, t.b_step = width;
        else if (p->b_col == 1 && j + width <= p->n) t.b = p->b + k * p->b_step + j, t.b_step = p->b_step;
        else {
            pack_panel(p, j, width, k, depth, panel);
            t.b = panel, t.b_step = width;
        }
        multiply_panel(p, t, first, rows, j, vectors);
    }
}

static size_t block_depth(const Product *p)
{
    if (p->sums) return ROW_BLOCK;
    if (p->packed) return KC;
    size_t width = p->wide * LANES;
    return p->m > MR ? PANEL / width : smaller(PANEL / width, p->b_col == 1 ? 32 : 64);
}

static void activate_region(const Product *p, size_t first, size_t rows, size_t j, size_t columns)
{
    real *c = p->c + first * p->c_row + j * p->c_col;
    size_t lines = p->c_col == 1 ? rows : columns, length = p->c_col == 1 ? columns : rows;
    size_t line = p->c_col == 1 ? p->c_row : p->c_col;
    if (p->activation == PS_IDENTITY || p->activation == PS_RELU) return;
    if (length == line) activation_forward(p->activation, lines * length, c, c);
    else for (size_t i = 0; i < lines; i++) activation_forward(p->activation, length, c + i * line, c + i * line);
}

static void multiply_region(const Product *p, size_t first, size_t rows, size_t j, size_t end)
{
    size_t step = block_depth(p), k = 0;
    do {                                                        /* once when k is 0: C is then 0 or the bias */
        size_t depth = smaller(step, p->k - k);
        for (size_t i = 0; i < rows; i += MC)
            multiply_block(p, first + i, smaller(MC, rows - i), j, end, k, depth);
        k += depth;
    } while (k < p->k);
    activate_region(p, first, rows, j, end - j);
}

/* ---- the whole product ---- */

static Product transposed(const Product *p)                     /* C^T = B^T A^T */
{
    Product t = *p;
    t.m = p->n, t.n = p->m;
    t.a = p->b, t.a_row = p->b_col, t.a_step = p->b_step;
    t.b = p->a, t.b_col = p->a_row, t.b_step = p->a_step;
    t.c_row = p->c_col, t.c_col = p->c_row;
    t.bias_kind = PER_ROW;
    return t;
}

static void multiply_all(Product p, real *workspace)
{
    if (!p.m || !p.n) return;
    if (p.n <= LANES / 2 && p.m > p.n) p = transposed(&p);
    p.wide = p.m == 1 ? WIDE : p.m <= 3 ? WIDE / 2 : NV;
    p.rows = p.n <= LANES ? TALL : MR;
    int direct = p.m <= MR || (p.b_col == 1 && p.k * p.n <= PANEL);
    p.packed = direct ? NULL : workspace;
    if (p.packed)
        for (size_t j = 0, width; j < p.n; j += width) {
            width = panel_vectors(&p, p.n - j) * LANES;
            pack_panel(&p, j, width, 0, p.k, p.packed + j * p.k);
        }
    multiply_region(&p, 0, p.m, 0, p.n);
}

static real *aligned(void *workspace)
{
    return (real *)(((uintptr_t)workspace + 63) / 64 * 64);
}

static size_t dense_workspace(size_t rows, size_t n_in, size_t n_out)
{
    size_t forward = n_in * padded(n_out), dx = n_out * padded(n_in), dW = rows * padded(n_out);
    size_t most = forward > dx ? forward : dx;
    if (dW > most) most = dW;
    return 64 + (rows * n_out + LANES + most) * sizeof(real);
}

static void dense_forward(size_t rows, size_t n_in, size_t n_out, int activation, const void *x, const void *W,
                          const void *b, void *y, void *workspace)
{
    Product p = {.m = rows, .n = n_out, .k = n_in, .a = x, .a_row = n_in, .a_step = 1, .b = W, .b_step = n_out,
                 .b_col = 1, .c = y, .c_row = n_out, .c_col = 1, .bias = b, .bias_kind = PER_COLUMN,
                 .activation = activation};
    multiply_all(p, aligned(workspace));
}

/* Column sums of g, one block of rows after the other; four chains in a block, for they would wait for each other. */
static V block_sum(size_t rows, size_t n, const real *g, size_t left)
{
    V sum[4] = {C(0), C(0), C(0), C(0)};
    for (size_t r = 0; r < rows; r++, g += n) {
        V row = left >= LANES ? load(g) : load_part(g, left);
        sum[r % 4] = sum[r % 4] + row;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void column_sums(size_t rows, size_t n, const real *g, real *db)
{
    for (size_t j = 0; j < n; j += LANES) {
        V total = C(0);
        for (size_t r = 0; r < rows; r += ROW_BLOCK)
            total = total + block_sum(smaller(ROW_BLOCK, rows - r), n, g + r * n + j, n - j);
        store_part(db + j, total, n - j);
    }
}

static void dense_backward(size_t rows, size_t n_in, size_t n_out, int activation, const void *x, const void *W,
                           const void *y, const void *grad, void *dx, void *dW, void *db, void *workspace)
{
    real *own = aligned(workspace), *space = own + (rows * n_out + LANES - 1) / LANES * LANES;
    const real *g = grad;
    if (activation != PS_IDENTITY) {
        activation_backward(activation, rows * n_out, y, grad, own);
        g = own;
    }
    if (dx)
        multiply_all((Product){.m = rows, .n = n_in, .k = n_out, .a = g, .a_row = n_out, .a_step = 1, .b = W,
                               .b_step = 1, .b_col = n_out, .c = dx, .c_row = n_in, .c_col = 1}, space);
    if (dW)
        multiply_all((Product){.m = n_in, .n = n_out, .k = rows, .a = x, .a_row = 1, .a_step = n_in, .b = g,
                               .b_step = n_out, .b_col = 1, .c = dW, .c_row = n_out, .c_col = 1, .sums = 1}, space);
    if (db) column_sums(rows, n_out, g, db);
}
#endif
