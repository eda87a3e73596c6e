/* Images of bytes to the normalised floats that a network is shown: mirrored, warped, with holes, in one pass each.

   Legend: B images, H height, W width, C channels (at most DEPTH), K holes an image. */
#include <math.h>

#include "lanes.h"

enum { DEPTH = 4 };                                 /* channels of a pixel in memory, the last ones unused */
enum { REFLECT_101, REPLICATE, CONSTANT };          /* what lies outside the image */
typedef float pixel __attribute__((vector_size(4 * DEPTH), aligned(4), may_alias));
typedef int levels_of __attribute__((vector_size(4 * DEPTH)));

typedef struct {
    long images, height, width, channels, border, holes, tall, wide; /* `tall` x `wide`: a hole */
} Sizes;

/* Where an output pixel is sampled: across and down of column and row, which are counted from the centre. */
typedef struct {
    float across[3], down[3];
} Matrix;

static float middle(long size) { return (size > 1 ? size - 1 : 1) / 2.0f; }

/* The inverse of: mirror, scale, rotate by `angle` degrees about the centre, shift; in -1..1. */
static Matrix matrix_of(const Sizes s, double right, double below, double factor, double angle, int mirrored) {
    const double turn = angle * (3.14159265358979323846 / 180), c = cos(turn) / factor, n = sin(turn) / factor;
    const double x = (mirrored ? -1 : 1) / (double)middle(s.width), y = 1 / (double)middle(s.height);
    return (Matrix){{(float)(c * x), (float)(-n * x), (float)((n * below - c * right) * x)},
                    {(float)(n * y), (float)(c * y), (float)((-n * right - c * below) * y)}};
}

/* A place in 0..size - 1 for one anywhere, as `border` says. */
INLINE float inside(float place, long size, long border) {
    const float last = size - 1;
    if (place >= 0 && place <= last) return place;
    if (border == REFLECT_101 && last > 0) {
        const float far = fabsf(place), turns = floorf(far / last), extra = far - turns * last;
        place = (long)turns % 2 ? last - extra : extra;
    }
    return place < 0 ? 0 : place > last ? last : place;
}

/* The value of a map of pixels at a place between four of them; those outside the map are `outside`. */
INLINE pixel sample(const pixel *image, const Sizes s, float x, float y, pixel outside) {
    if (s.border != CONSTANT) x = inside(x, s.width, s.border), y = inside(y, s.height, s.border);
    const float left = floorf(x), top = floorf(y), right = x - left, below = y - top;
    if (!(left >= -1 && left < s.width && top >= -1 && top < s.height)) return outside;
    const long q = (long)left, r = (long)top;
    const int all = r >= 0 && r + 1 < s.height && q >= 0 && q + 1 < s.width;
    pixel sum = {0};
#pragma GCC unroll 4
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 2; j++) {
            const int there = all || (r + i >= 0 && r + i < s.height && q + j >= 0 && q + j < s.width);
            const float share = (i ? below : 1 - below) * (j ? right : 1 - right);
            sum += share * (there ? image[(r + i) * s.width + q + j] : outside);
        }
    return sum;
}

/* to[H][W] = image warped, in whole levels */
static void warp(const pixel *image, const Sizes s, const Matrix m, pixel outside, pixel *to) {
    const float half_x = middle(s.width), half_y = middle(s.height);
    for (long r = 0; r < s.height; r++)
        for (long q = 0; q < s.width; q++) {
            const float x = q - (s.width - 1) / 2.0f, y = r - (s.height - 1) / 2.0f;
            const float across = m.across[0] * x + (m.across[1] * y + m.across[2]);
            const float down = m.down[0] * x + (m.down[1] * y + m.down[2]);
            const pixel value = sample(image, s, (across + 1) * half_x, (down + 1) * half_y, outside) + 0.5f;
            to[r * s.width + q] = __builtin_convertvector(__builtin_convertvector(value, levels_of), pixel);
        }
}

/* What becomes of levels: their normalised values, and those of each of the 256 that bytes have. */
typedef struct {
    pixel scale, shift;
    float of[256][DEPTH];
} Norm;

static void norm_of(const float *levels, Norm *norm) {
    norm->scale = *(const pixel *)(levels + 2 * DEPTH), norm->shift = *(const pixel *)(levels + 3 * DEPTH);
    for (int level = 0; level < 256; level++)
        *(pixel *)norm->of[level] = (pixel){level, level, level, level} * norm->scale + norm->shift;
}

/* to[H][W][C] = image, mirrored or not, normalised */
INLINE void put_bytes(const long channels, const unsigned char *image, const Sizes s, int mirrored, const Norm *norm,
                      float *to) {
    for (long r = 0; r < s.height; r++)
        for (long q = 0; q < s.width; q++, to += channels) {
            const unsigned char *from = image + (r * s.width + (mirrored ? s.width - 1 - q : q)) * channels;
            for (long c = 0; c < channels; c++) to[c] = norm->of[from[c]][c];
        }
}

/* to[H][W][C] = image warped, and normalised; `room` is for two maps of pixels */
INLINE void put_warped(const long channels, const unsigned char *image, const Sizes s, const Matrix m, pixel outside,
                       const Norm *norm, pixel *room, float *to) {
    const long area = s.height * s.width;
    pixel *changed = room + area;
    for (long p = 0; p < area; p++)
        for (long c = 0; c < channels; c++) room[p][c] = image[p * channels + c];
    warp(room, s, m, outside, changed);
    for (long p = 0; p < area; p++, to += channels) {
        const pixel value = changed[p] * norm->scale + norm->shift;
        for (long c = 0; c < channels; c++) to[c] = value[c];
    }
}

/* A hole of `value` in to[H][W][C] */
static void punch(const Sizes s, long top, long left, pixel value, float *to) {
    for (long r = top; r < top + s.tall; r++)
        for (long q = left; q < left + s.wide; q++)
            for (long c = 0; c < s.channels; c++) to[(r * s.width + q) * s.channels + c] = value[c];
}

/* out[B][H][W][C] of images[B][H][W][C]: those `mirrored`, those `warped` by shifts (px), factor and angle (degrees),
   those `holed` with the corners tops[K][B] and lefts[K][B] (px). Null, of the bytes that say which, stands for none.
   levels = outside[DEPTH], hole[DEPTH], scale[DEPTH], shift[DEPTH] */
int NAMED(augment_images)(float *out, const unsigned char *images, const unsigned char *mirrored,
                          const unsigned char *warped, const double *shift_x, const double *shift_y,
                          const double *factor, const double *angle, const unsigned char *holed, const long long *tops,
                          const long long *lefts, const float *levels, const long *sizes) {
    const Sizes s = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7]};
    const pixel outside = *(const pixel *)levels, hole = *(const pixel *)(levels + DEPTH);
    const long area = s.height * s.width, size = area * s.channels;
    Norm norm;
    norm_of(levels, &norm);
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *values = floats(2 * area * DEPTH);
        pixel *room = (pixel *)values;
        failed = !values;
        if (values) memset(values, 0, sizeof(float) * 2 * area * DEPTH);
#pragma omp for schedule(dynamic, 8)
        for (long b = 0; b < s.images; b++) {
            if (failed) continue;
            const int turned = mirrored && mirrored[b];
            const unsigned char *image = images + b * size;
            float *to = out + b * size;
            if (warped && warped[b]) { /* a warp mirrors by itself */
                const Matrix m = matrix_of(s, shift_x[b], shift_y[b], factor[b], angle[b], turned);
                if (s.channels == 3) put_warped(3, image, s, m, outside, &norm, room, to);
                else put_warped(s.channels, image, s, m, outside, &norm, room, to);
            } else {
                if (s.channels == 3) put_bytes(3, image, s, turned, &norm, to);
                else put_bytes(s.channels, image, s, turned, &norm, to);
            }
            for (long k = 0; holed && holed[b] && k < s.holes; k++) {
                const long place = k * s.images + b;
                punch(s, tops[place], lefts[place], hole * norm.scale + norm.shift, to);
            }
        }
        free(values);
    }
    return failed;
}
