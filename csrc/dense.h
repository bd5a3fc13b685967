/* dense.h: Dense forward and backward as three matrix products of one kind,
 *
 *   y = act(x W + b)        dx = g W^T        dW = x^T g        db = column sums of g        g = grad act'(y)
 *
 * A product C = A B runs over panels of B (columns) and blocks of A (rows). The micro-kernel `multiply` holds a tile of
 * C in registers. B is packed into panels that the kernel reads in order, transposed on the way where needed; a matrix
 * that is small or that is read once is used where it lies. Strides say which of the two is meant, so that one driver
 * serves all three products, and also their transposes C^T = B^T A^T, used when C has very few columns.
 *
 * The contract: an element of y or dx is one chain of multiply-adds in increasing k, starting at 0, carried through C
 * between blocks of k; bias and activation follow the last. No path splits that chain, so a row's result does not
 * depend on the rows beside it, on the block sizes, or on threads. An element of dW or db is a sum over blocks of
 * ROW_BLOCK rows, each summed by itself, added in order: that too is a function of the sizes and the data alone.
 *
 * The scheme (panels in the first cache, a block of A in the second) is that of Goto and van de Geijn, Anatomy of
 * High-Performance Matrix Multiplication, ACM TOMS 34 (2008). */
#ifndef DENSE_H
#define DENSE_H
#include "threads.h"

enum {
    WIDE = 8, TALL = 8,             /* vectors of the tile with one row; rows of the tile with one vector */
    NR = NV * LANES,                /* columns of a square tile */
    TILE_VECTORS = MR * NV > 12 ? MR * NV : 12,
    FEW_ROWS = MR > LANES / 2 ? MR : LANES / 2,     /* of A: the panels of B are packed one by one, or not at all */
    FEW_TILES = 22,                 /* with so many tiles of rows, a B of two panels is not worth a copy */
    ROW_BLOCK = 256,                /* rows of one partial sum of dW and db */
    PANEL = ROW_BLOCK * NR,         /* reals of a panel packed on the stack */
    A_ROW = KC + 64 / (int)sizeof(real),    /* reals between the rows of a packed block of A: spreads them over cache sets */
    A_TILE = (TALL + LANES - 1) / LANES * LANES,
    NC = 4096,                      /* columns of B whose packed block stays in the last cache */
    PACKED_AT_ONCE = 64,            /* steps of k that one task packs */
    TURNED_AT_ONCE = 8,             /* steps of k of a transposed A that are copied tile by tile */
    FAR = 3 << 17, FAR_COLUMNS = 1 << 18,   /* bytes that the second cache holds; where A is read by columns */
    VAST = 1 << 22,                 /* bytes of B of which a panel comes from the last cache or from memory */
    PAGE = 4096, CLOSE = 512,       /* rows of A in the same sets of the first cache: so many bytes from a multiple of PAGE */
    WIDE_ENOUGH = 8 * NR,           /* columns that repay a copy of A */
    PARTIAL_ROWS = 192, PARTIAL_SIZE = 1 << 14,     /* the largest dW whose row blocks are kept apart */
    WORTH_THREADS = 1 << 22, WORTH_ROWS = 1 << 16   /* multiply-adds, and reals of g, from which threads gain time */
};

_Static_assert(KC >= ROW_BLOCK, "a packed block of A holds a whole block of rows of dW");

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

#if defined(__clang__)
#define UNROLLED_2 _Pragma("clang loop unroll_count(2)")
#else
#define UNROLLED_2 _Pragma("GCC unroll 2")
#endif
#define EACH_VECTOR UNROLLED for (int i = 0; i < mr; i++) UNROLLED for (int v = 0; v < nv; v++)

/* The micro-kernel: mr rows by nv vectors, both constant where it is called, so that acc lives in registers. */
INLINE void multiply(MicroTile t, int mr, int nv)
{
    V acc[TALL][WIDE];
    real *c = t.c;
    size_t row = t.c_row;
    EACH_VECTOR acc[i][v] = C(0);
    if (t.from == CARRY) EACH_VECTOR acc[i][v] = load(c + (size_t)i * row + v * LANES);
    UNROLLED_2 for (size_t k = 0; k < t.depth; k++, t.a += t.a_step, t.b += t.b_step) {
        V b[WIDE];
        UNROLLED for (int v = 0; v < nv; v++) b[v] = load(t.b + v * LANES);
        UNROLLED for (int i = 0; i < mr; i++) {
            V a = splat(t.a[(size_t)i * t.a_row]);
            UNROLLED for (int v = 0; v < nv; v++) acc[i][v] = fma_(a, b[v], acc[i][v]);
        }
    }
    if (t.from == ADD) EACH_VECTOR acc[i][v] = load(c + (size_t)i * row + v * LANES) + acc[i][v];
    if (t.bias_kind == PER_COLUMN) EACH_VECTOR acc[i][v] = acc[i][v] + load(t.bias + v * LANES);
    if (t.bias_kind == PER_ROW) EACH_VECTOR acc[i][v] = acc[i][v] + splat(t.bias[i]);
    if (t.relu) EACH_VECTOR acc[i][v] = relu(acc[i][v]);
    EACH_VECTOR store(c + (size_t)i * row + v * LANES, acc[i][v]);
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

typedef void Kernel(const MicroTile *t, size_t mr);
APART void multiply_tall(const MicroTile *t, size_t mr) { multiply_rows(t, mr, 1, TALL); }
APART void multiply_square(const MicroTile *t, size_t mr) { multiply_rows(t, mr, NV, MR); }
APART void multiply_wide(const MicroTile *t, size_t mr)
{
    if (mr == 1) multiply(*t, 1, WIDE);
    else if (NV != WIDE / 2) multiply_rows(t, mr, WIDE / 2, 3);         /* else they are multiply_square's */
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
    int far, vast;                  /* too much for the second cache: it is warned of C, and of the next panel of B */
    int copied;                     /* blocks of A are copied */
    int direct;                     /* whole panels of B are used where they lie */
    real *packed;                   /* the panels of B; NULL: packed one by one when needed */
} Product;

INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
INLINE size_t larger(size_t a, size_t b) { return a > b ? a : b; }
INLINE size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }
INLINE size_t padded(size_t columns) { return ceil_div(columns, LANES) * LANES; }

/* Vectors of the panel that begins where `left` columns are left. Only the last of a product may be incomplete. */
INLINE size_t panel_vectors(const Product *p, size_t left)
{
    return left / LANES >= p->wide ? p->wide : ceil_div(left, LANES) >= NV ? NV : 1;
}

/* Where the packed panel of columns j ... begins, at step k. The extra step keeps panels out of each other's sets. */
INLINE real *packed_panel(const Product *p, size_t j, size_t width, size_t k)
{
    return p->packed + j * (p->k + 1) + k * width;
}

/* Rows are split evenly: a last tile of one row would wait for its own chain instead of filling the machine. */
typedef struct { size_t tiles, rows, longer; } Split;
INLINE Split split_rows(size_t rows, size_t most)
{
    size_t tiles = ceil_div(rows, most);
    return (Split){tiles, rows / tiles, rows % tiles};
}
INLINE size_t tile_rows(const Split *s, size_t tile) { return s->rows + (tile < s->longer); }

/* ---- packing ---- */

/* Copies `rows` pieces of `count` reals to a distance of `width`, whole vectors each. The pieces lie far apart, where
 * no hardware looks ahead. */
static void copy_rows(size_t rows, size_t count, const real *from, size_t from_row, real *to, size_t width)
{
    size_t ahead = (1 + 512 / width) * from_row;
    for (size_t r = 0; r < rows; r++, from += from_row, to += width) {
        size_t i = 0;
        for (; i + LANES <= count; i += LANES) {
            __builtin_prefetch((const char *)from + (ahead + i) * sizeof(real));
            store(to + i, load(from + i));
        }
        if (i < count) store(to + i, load_part(from + i, count - i));
    }
}

/* to[k][j] = from[j][k] for `count` columns j, the last repeated up to `width`. */
static void copy_transposed(size_t depth, size_t count, const real *from, size_t from_col, real *to, size_t width)
{
    for (size_t j = 0; j < width; j += LANES) {
        const real *column[LANES];
        size_t k = 0;
        for (size_t i = 0; i < LANES; i++) column[i] = from + smaller(j + i, count - 1) * from_col;
        for (; k + LANES <= depth; k += LANES) {
            V block[LANES];
            UNROLLED for (int i = 0; i < LANES; i++) {
                __builtin_prefetch((const char *)(column[i] + k) + width * from_col * sizeof(real));
                block[i] = load(column[i] + k);
            }
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

/* All panels, PACKED_AT_ONCE steps of each. Rows of B are read whole, one after the other. */
static void pack_steps(void *context, size_t index)
{
    const Product *p = context;
    size_t first = index * PACKED_AT_ONCE, end = smaller(first + PACKED_AT_ONCE, p->k), whole = 0;
    if (p->b_col == 1) {
        whole = p->n / NR * NR;
        for (size_t k = first; k < end; k++)
            for (size_t j = 0; j < whole; j += NR) {
                real *to = packed_panel(p, j, NR, k);
                UNROLLED for (int v = 0; v < NV; v++) store(to + v * LANES, load(p->b + k * p->b_step + j + v * LANES));
            }
    }
    for (size_t j = whole, width; j < p->n; j += width) {
        width = panel_vectors(p, p->n - j) * LANES;
        pack_panel(p, j, width, first, end - first, packed_panel(p, j, width, first));
    }
}

/* to[k][i] = from[k][i] for mr columns i; in whole vectors where the rows are long enough: what that writes too much,
 * the next step overwrites. */
static void pack_columns(size_t depth, size_t mr, int whole, const real *from, size_t from_row, real *to)
{
    for (size_t k = 0; k < depth; k++, from += from_row, to += mr) {
        __builtin_prefetch((const char *)from + TURNED_AT_ONCE * from_row * sizeof(real));
        if (whole) for (size_t v = 0; v < A_TILE; v += LANES) store(to + v, load(from + v));
        else for (size_t i = 0; i < mr; i++) to[i] = from[i];
    }
}

/* A block of A, copied so that the reals of a tile lie close together: rows as rows, or, where A is transposed, columns
 * tile by tile, and then the step is the tile's number of rows. `room` is how many rows A has from here on. */
static void pack_block(const Product *p, MicroTile *t, size_t rows, size_t room, real *to)
{
    const real *from = t->a;
    Split s = split_rows(rows, p->rows);
    t->a = to;
    if (p->a_step == 1) {
        copy_rows(rows, t->depth, from, p->a_row, to, A_ROW);
        t->a_row = A_ROW;
        return;
    }
    t->a_row = 1, t->a_step = 0;
    for (size_t k = 0; k < t->depth; k += TURNED_AT_ONCE)       /* few lines at a time: neighbouring tiles share them */
        for (size_t tile = 0, i = 0, mr; tile < s.tiles; tile++, i += mr) {
            mr = tile_rows(&s, tile);
            pack_columns(smaller(TURNED_AT_ONCE, t->depth - k), mr, i + A_TILE <= room, from + k * p->a_step + i, p->a_step,
                         to + i * t->depth + tile * A_TILE + k * mr);
        }
}

/* ---- one tile ---- */

/* A tile that is no whole number of vectors, or whose C is transposed, goes through a buffer. */
static void multiply_edge(const Product *p, MicroTile t, size_t mr, size_t vectors, size_t columns, Kernel *kernel)
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
    Kernel *kernel = vectors == 1 ? multiply_tall : vectors == NV ? multiply_square : multiply_wide;
    size_t columns = smaller(p->n - j, vectors * LANES);
    t->c = p->c + i * p->c_row + j * p->c_col;
    t->c_row = p->c_row;
    if (p->bias) t->bias = p->bias + (p->bias_kind == PER_ROW ? i : j);
    if (p->c_col == 1 && columns == vectors * LANES) kernel(t, mr);
    else multiply_edge(p, *t, mr, vectors, columns, kernel);
}

/* ---- one block of k, one block of rows ---- */

INLINE void prefetch(const real *p, size_t count)
{
    for (size_t i = 0; i < count; i += 64 / sizeof(real)) __builtin_prefetch(p + i);
}
/* One tile's share of the next panel, into the second cache. */
INLINE void prefetch_share(const real *panel, size_t count, size_t tile, size_t tiles)
{
    size_t share = count / tiles;
    for (size_t i = tile * share; i < (tile + 1) * share; i += 64 / sizeof(real)) __builtin_prefetch(panel + i, 0, 2);
}

static void multiply_panel(const Product *p, MicroTile t, size_t first, size_t rows, size_t j, size_t vectors)
{
    Split s = split_rows(rows, p->rows);
    size_t width = vectors * LANES;
    const real *a = t.a;
    int by_tiles = t.a_step == 0;
    for (size_t tile = 0, i = 0, mr; tile < s.tiles; tile++, i += mr) {
        mr = tile_rows(&s, tile);
        t.a = by_tiles ? a + i * t.depth + tile * A_TILE : a + i * t.a_row;
        if (by_tiles) t.a_step = mr;
        if (p->vast) prefetch_share(t.b + width * (p->k + 1), width * t.depth, tile, s.tiles);
        if (p->far && tile + 1 < s.tiles)                       /* the next tile's C, which would be waited for */
            for (size_t r = 0; r < mr; r++)
                prefetch(p->c + (first + i + mr + r) * p->c_row + j * p->c_col, p->c_col == 1 ? width : 1);
        multiply_tile(p, &t, first + i, mr, j, vectors);
    }
}

typedef struct { size_t first, rows, j, end, k, depth; } Block;

static void multiply_block(const Product *p, Block b)
{
    real block[MC * (A_ROW + A_TILE)], panel[PANEL];
    int last = b.k + b.depth == p->k;
    MicroTile t = {.depth = b.depth, .a = p->a + b.first * p->a_row + b.k * p->a_step, .a_row = p->a_row,
                   .a_step = p->a_step, .from = b.k == 0 ? START : p->sums ? ADD : CARRY,
                   .bias_kind = last && p->bias ? p->bias_kind : NO_BIAS, .relu = last && p->activation == PS_RELU};
    if (p->copied) pack_block(p, &t, b.rows, p->m - b.first, block);
    for (size_t j = b.j, vectors; j < b.end; j += vectors * LANES) {
        vectors = panel_vectors(p, p->n - j);
        size_t width = vectors * LANES;
        if (p->packed) t.b = packed_panel(p, j, width, b.k), t.b_step = width;
        else if (p->direct && j + width <= p->n) t.b = p->b + b.k * p->b_step + j, t.b_step = p->b_step;
        else {
            pack_panel(p, j, width, b.k, b.depth, panel);
            t.b = panel, t.b_step = width;
        }
        multiply_panel(p, t, b.first, b.rows, j, vectors);
    }
}

static size_t block_depth(const Product *p)
{
    if (p->sums) return ROW_BLOCK;
    if (p->packed) return KC;
    size_t most = PANEL / (p->wide * LANES);
    return p->m > FEW_ROWS ? smaller(most, KC) : smaller(most, p->direct ? 32 : 64);
}

/* The activations that the kernel leaves to a pass of their own, over rows that are still in the cache. */
static void activate_block(const Product *p, const Block *b)
{
    real *c = p->c + b->first * p->c_row + b->j * p->c_col;
    size_t columns = b->end - b->j, line = p->c_col == 1 ? p->c_row : p->c_col;
    size_t lines = p->c_col == 1 ? b->rows : columns, length = p->c_col == 1 ? columns : b->rows;
    if (p->activation == PS_IDENTITY || p->activation == PS_RELU) return;
    if (length == line) activation_forward(p->activation, lines * length, c, c);
    else for (size_t i = 0; i < lines; i++) activation_forward(p->activation, length, c + i * line, c + i * line);
}

/* Rows first ... first + rows - 1 and columns from ... to - 1 of C. */
static void multiply_region(const Product *p, size_t first, size_t rows, size_t from, size_t to)
{
    size_t step = block_depth(p);
    for (size_t j = from; j < to; j += NC)
        for (size_t i = 0; i < rows; i += MC) {                 /* its rows of C stay in the second cache over all k */
            Block b = {first + i, smaller(MC, rows - i), j, smaller(j + NC, to), 0, 0};
            do {                                                /* once when k is 0: C is then 0 or the bias */
                b.depth = smaller(step, p->k - b.k);
                multiply_block(p, b);
                b.k += b.depth;
            } while (b.k < p->k);
            activate_block(p, &b);
        }
}

/* A column times a row of one vector: a layer with one feature, or the way back from one logit. */
static void multiply_outer(const Product *p)
{
    const real *a = p->a;
    real *c = p->c;
    size_t m = p->m, a_row = p->a_row, c_row = p->c_row;
    V row = load(p->b), bias = p->bias ? load(p->bias) : C(0);
    int added = p->bias != NULL, positive = p->activation == PS_RELU;
    for (size_t i = 0; i < m; i++, a += a_row, c += c_row) {
        V y = fma_(splat(*a), row, C(0));
        if (added) y = y + bias;
        store(c, positive ? relu(y) : y);
    }
    activate_block(p, &(Block){.rows = p->m, .end = p->n});
}

/* A product of one panel, used where it lies, and one block: to plan it would take longer than to compute it. */
static int multiply_small(const Product *p)
{
    size_t vectors = panel_vectors(p, p->n);
    if (p->n != vectors * LANES || p->m > MC || p->k > block_depth(p) || p->c_col != 1) return 0;
    if (p->k == 1 && vectors == 1 && p->bias_kind != PER_ROW) return multiply_outer(p), 1;
    Kernel *kernel = vectors == 1 ? multiply_tall : vectors == NV ? multiply_square : multiply_wide;
    MicroTile t = {.depth = p->k, .a = p->a, .a_row = p->a_row, .a_step = p->a_step, .b = p->b, .b_step = p->b_step,
                   .c = p->c, .c_row = p->c_row, .bias = p->bias, .from = START,
                   .bias_kind = p->bias ? p->bias_kind : NO_BIAS, .relu = p->activation == PS_RELU};
    Split s = split_rows(p->m, p->rows);
    for (size_t tile = 0, mr; tile < s.tiles; tile++, t.a += mr * t.a_row, t.c += mr * t.c_row) {
        mr = tile_rows(&s, tile);
        kernel(&t, mr);
        if (t.bias_kind == PER_ROW) t.bias += mr;
    }
    activate_block(p, &(Block){.rows = p->m, .end = p->n});
    return 1;
}

/* ---- the whole product ---- */

INLINE void swap(size_t *a, size_t *b) { size_t kept = *a; *a = *b, *b = kept; }

static void turn(Product *p)                                    /* C^T = B^T A^T */
{
    const real *a = p->a;
    p->a = p->b, p->b = a;
    swap(&p->m, &p->n), swap(&p->a_row, &p->b_col), swap(&p->a_step, &p->b_step), swap(&p->c_row, &p->c_col);
    p->bias_kind = PER_ROW;
}

typedef struct { const Product *product; size_t rows, columns, across; } Regions;

static void multiply_task(void *context, size_t index)
{
    const Regions *r = context;
    const Product *p = r->product;
    size_t i = index / r->across * r->rows, j = index % r->across * r->columns;
    multiply_region(p, i, smaller(r->rows, p->m - i), j, smaller(j + r->columns, p->n));
}

/* About 16 regions or more, for any number of threads; two tiles of rows at least, or B would be read too often. */
static void multiply_parallel(const Product *p)
{
    size_t rows = smaller(larger(ceil_div(ceil_div(p->m, 16), MR), 2) * MR, MC), down = ceil_div(p->m, rows);
    size_t unit = p->wide * LANES, columns = larger(ceil_div(ceil_div(p->n, ceil_div(16, down)), unit), 4) * unit;
    Regions r = {p, rows, columns, ceil_div(p->n, columns)};
    parallel(down * r.across, multiply_task, &r);
}

/* Few columns and rows of dW, many rows of x: the row blocks are computed apart, then added in order. */
typedef struct { const Product *product; real *partial; size_t size; } Partials;

static void multiply_partial(void *context, size_t index)
{
    const Partials *s = context;
    Product p = *s->product;
    size_t first = index * ROW_BLOCK;
    p.a += first * p.a_step, p.b += first * p.b_step;
    p.k = smaller(ROW_BLOCK, p.k - first);
    p.c = s->partial + index * s->size;
    multiply_region(&p, 0, p.m, 0, p.n);
}

static void add_rows(size_t rows, size_t count, const real *from, real *to)     /* column sums, in order */
{
    memcpy(to, from, count * sizeof(real));
    for (size_t r = 1; r < rows; r++) {
        size_t i = 0;
        from += count;
        for (; i + LANES <= count; i += LANES) store(to + i, load(to + i) + load(from + i));
        if (i < count) store_part(to + i, load_part(to + i, count - i) + load_part(from + i, count - i), count - i);
    }
}

INLINE int has_partials(size_t m, size_t n) { return m <= PARTIAL_ROWS && n <= PARTIAL_SIZE && m * n <= PARTIAL_SIZE; }

static void multiply_partials(const Product *p, real *workspace)
{
    Partials s = {p, workspace, p->m * p->n};
    size_t blocks = ceil_div(p->k, ROW_BLOCK);
    parallel(blocks, multiply_partial, &s);
    add_rows(blocks, s.size, workspace, p->c);
}

static void plan_caches(Product *p)
{
    size_t bytes = (p->m * p->k + p->k * p->n + p->m * p->n) * sizeof(real), apart = p->a_row * sizeof(real) % PAGE;
    p->far = p->n > WIDE_ENOUGH && bytes > (p->a_step == 1 ? FAR : FAR_COLUMNS);
    p->vast = p->far && p->k * p->n * sizeof(real) > VAST;
    p->copied = p->far && (p->a_step != 1 || apart < CLOSE || apart > PAGE - CLOSE);
}

/* The product is filled in where it lies: to copy a struct that was just written costs more than a small product. */
static void multiply_all(Product *p, real *workspace)
{
    if (!p->m || !p->n) return;
    if (p->n <= LANES / 2 && p->m > p->n) turn(p);
    p->wide = p->m == 1 ? WIDE : p->m <= 3 ? WIDE / 2 : NV;
    p->rows = p->n <= LANES ? TALL : MR;
    p->direct = p->b_col == 1 && (p->m <= FEW_ROWS || p->k * p->n <= (p->m <= FEW_TILES * MR ? 2 : 1) * PANEL);
    double work = (double)p->m * (double)p->n * (double)p->k;
    int threads = work >= WORTH_THREADS && ps_threads() > 1;
    if (!threads && p->direct && multiply_small(p)) return;
    if (threads && p->sums && p->k > ROW_BLOCK && has_partials(p->m, p->n)) {
        multiply_partials(p, workspace);
        return;
    }
    if (p->m > FEW_ROWS && !p->direct) {
        p->packed = workspace;
        plan_caches(p);
        size_t tasks = ceil_div(p->k, PACKED_AT_ONCE);
        if (threads) parallel(tasks, pack_steps, p);
        else for (size_t i = 0; i < tasks; i++) pack_steps(p, i);
    }
    if (threads) multiply_parallel(p);
    else multiply_region(p, 0, p->m, 0, p->n);
}

/* ---- Dense ---- */

static real *aligned(void *workspace)
{
    return (real *)(((uintptr_t)workspace + 63) / 64 * 64);
}

/* The same for every instruction set, so that a workspace outlives a change of the active one. */
static size_t dense_workspace(size_t rows, size_t n_in, size_t n_out)
{
    size_t in = ceil_div(n_in, 16) * 16, out = ceil_div(n_out, 16) * 16;        /* 16: the most lanes there are */
    size_t most = larger(larger((n_in + 1) * out, (n_out + 1) * in), (rows + 1) * out);
    if (has_partials(n_in, n_out) || has_partials(n_out, n_in))
        most = larger(most, ceil_div(rows, ROW_BLOCK) * n_in * n_out);
    return 64 + (rows * out + most) * sizeof(real);
}

static void dense_forward(size_t rows, size_t n_in, size_t n_out, int activation, const void *x, const void *W,
                          const void *b, void *y, void *workspace)
{
    Product p = {.m = rows, .n = n_out, .k = n_in, .a = x, .a_row = n_in, .a_step = 1, .b = W, .b_step = n_out,
                 .b_col = 1, .c = y, .c_row = n_out, .c_col = 1, .bias = b, .bias_kind = PER_COLUMN,
                 .activation = activation};
    multiply_all(&p, aligned(workspace));
}

/* g = grad act'(y), and the column sums of its row blocks. */
typedef struct {
    size_t rows, n;
    int activation;
    const real *y, *grad;
    real *g, *sums;                 /* g NULL: grad is g already; sums NULL: not wanted */
} Incoming;

/* Sums of rows 0, 4, 8, ..., of rows 1, 5, 9, ... and so on: four chains, for each would wait for itself; of several
 * vectors of columns where there are so many, which lie side by side. Of `left` columns: what a load takes beyond them are
 * the next rows, so that only the last rows are loaded in part. */
INLINE void column_sums(size_t rows, size_t n, const real *g, size_t left, int vectors, real *out)
{
    V sum[4][4];
    size_t short_rows = left >= LANES ? 0 : smaller(rows, ceil_div(LANES - left, n)), r = 0;
    UNROLLED for (int i = 0; i < 4; i++) UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] = C(0);
    for (; r + 4 <= rows - short_rows; r += 4, g += 4 * n)
        UNROLLED for (int i = 0; i < 4; i++) UNROLLED for (int v = 0; v < vectors; v++)
            sum[i][v] = sum[i][v] + load(g + (size_t)i * n + v * LANES);
    if (vectors > 1) UNROLLED for (int i = 0; i < 3; i++) {
        if (r + (size_t)i >= rows) break;
        UNROLLED for (int v = 0; v < vectors; v++) sum[i][v] = sum[i][v] + load(g + (size_t)i * n + v * LANES);
    }
    else for (; r < rows; r++, g += n) {
        V row = r < rows - short_rows ? load(g) : load_part(g, left);
        UNROLLED for (size_t i = 0; i < 4; i++) if (r % 4 == i) sum[i][0] = sum[i][0] + row;
    }
    UNROLLED for (int v = 0; v < vectors; v++)
        store_part(out + v * LANES, (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]), left - (size_t)(v * LANES));
}

static real single_sum(size_t rows, const real *g)              /* the same of one column */
{
    real sum[4] = {0, 0, 0, 0};
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) UNROLLED for (size_t i = 0; i < 4; i++) sum[i] += g[r + i];
    for (; r < rows; r++) sum[r % 4] += g[r];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void incoming_block(void *context, size_t index)
{
    const Incoming *in = context;
    size_t first = index * ROW_BLOCK, rows = smaller(ROW_BLOCK, in->rows - first), at = first * in->n;
    if (in->g) activation_backward(in->activation, rows * in->n, in->y + at, in->grad + at, in->g + at);
    if (!in->sums) return;
    const real *g = (in->g ? in->g : in->grad) + at;
    real *sums = in->sums + index * in->n;
    size_t j = 0;
    if (in->n == 1) sums[j++] = single_sum(rows, g);
    for (; j + 4 * LANES <= in->n; j += 4 * LANES) column_sums(rows, in->n, g + j, in->n - j, 4, sums + j);
    for (; j < in->n; j += LANES) column_sums(rows, in->n, g + j, in->n - j, 1, sums + j);
}

static void dense_backward(size_t rows, size_t n_in, size_t n_out, int activation, const void *x, const void *W,
                           const void *y, const void *grad, void *dx, void *dW, void *db, void *workspace)
{
    real *own = aligned(workspace), *space = own + padded(rows * n_out);
    Incoming in = {rows, n_out, activation, y, grad, activation == PS_IDENTITY ? NULL : own, db ? space : NULL};
    const real *g = in.g ? in.g : grad;
    size_t blocks = ceil_div(rows, ROW_BLOCK);
    if (rows * n_out >= WORTH_ROWS) parallel(blocks, incoming_block, &in);
    else for (size_t i = 0; i < blocks; i++) incoming_block(&in, i);
    if (db && blocks) add_rows(blocks, n_out, space, db);
    else if (db) memset(db, 0, n_out * sizeof(real));
    if (dx)
        multiply_all(&(Product){.m = rows, .n = n_in, .k = n_out, .a = g, .a_row = n_out, .a_step = 1, .b = W,
                               .b_step = 1, .b_col = n_out, .c = dx, .c_row = n_in, .c_col = 1}, space);
    if (dW)
        multiply_all(&(Product){.m = n_in, .n = n_out, .k = rows, .a = x, .a_row = 1, .a_step = n_in, .b = g,
                               .b_step = n_out, .b_col = 1, .c = dW, .c_row = n_out, .c_col = 1, .sums = 1}, space);
}
#endif
