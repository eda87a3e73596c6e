/* Weights of filters in mirrored pairs, whole and from their two free halves (archsearch/network/symmetry.py).

   Legend: K filters and C channels of a half, T taps across. Halves lie as [K][T][T][C], whole weights as the
   convolutions take them: [T][T][2C][2K]. Functions return 0. */
#include "lanes.h"

static const float ROOT = 0.70710678118654752f; /* of one half */

typedef struct { /* where the four weights of a tap lie, of both filters of a pair and both channels */
    long here, turned, other, last;
} places;

INLINE places places_of(long t, long u, long c, long k, long filters, long channels, long taps) {
    const long row = (t * taps + u) * 2 * channels, mirrored = (t * taps + taps - 1 - u) * 2 * channels;
    const long first = (row + c) * 2 * filters + k, second = (mirrored + channels + c) * 2 * filters + k;
    return (places){first, second, first + filters, second + filters};
}

int NAMED(pairs_whole)(const float *even, const float *odd, float *whole, long filters, long channels, long taps) {
#pragma omp parallel for schedule(static)
    for (long tap = 0; tap < taps * taps; tap++)
        for (long k = 0; k < filters; k++)
            for (long c = 0; c < channels; c++) {
                const long half = (k * taps * taps + tap) * channels + c;
                const float same = ROOT * (even[half] + odd[half]), differs = ROOT * (even[half] - odd[half]);
                const places at = places_of(tap / taps, tap % taps, c, k, filters, channels, taps);
                whole[at.here] = same;
                whole[at.turned] = differs;
                whole[at.other] = differs;
                whole[at.last] = same;
            }
    return 0;
}

int NAMED(pairs_halves)(const float *dwhole, float *deven, float *dodd, long filters, long channels, long taps) {
#pragma omp parallel for schedule(static)
    for (long tap = 0; tap < taps * taps; tap++)
        for (long k = 0; k < filters; k++)
            for (long c = 0; c < channels; c++) {
                const long half = (k * taps * taps + tap) * channels + c;
                const places at = places_of(tap / taps, tap % taps, c, k, filters, channels, taps);
                const float same = dwhole[at.here] + dwhole[at.last], differs = dwhole[at.turned] + dwhole[at.other];
                deven[half] = ROOT * (same + differs);
                dodd[half] = ROOT * (same - differs);
            }
    return 0;
}
