// Products of many bf16 input rows with AMX: tiles of 16 rows of 32 bf16 numbers, sums in fp32.
//
// The matrix is unpacked a panel of rows at a time, which stays in the cache while all input rows pass.

#define _DEFAULT_SOURCE  // syscall
#include "kernels.h"

#if TILES

#include <cpuid.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TILE = 16, DEPTH = 32 };  // rows of a tile; bf16 numbers in a row of it
enum { PAD = 32 };               // numbers between the rows of a panel: rows at multiples of 4 KiB would evict each other
enum { PANEL_BYTES = 544 << 10, SLICE = 256 };  // columns of a slice
enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };  // arch_prctl of Linux

int amx_is_supported(void) {
  unsigned a, b, c, d, mask, high;
  __cpuid_count(7, 0, a, b, c, d);
  if (!(d >> 22 & 1) || !(d >> 24 & 1)) return 0;
  __asm__("xgetbv" : "=a"(mask), "=d"(high) : "c"(0));
  return (mask >> 17 & 3) == 3 && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static void configure(void) {
  struct {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
  } config = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) {
    config.row_bytes[tile] = 2 * DEPTH;
    config.rows[tile] = TILE;
  }
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
}

// Interleave pairs of columns of 16 input rows, as the second operand of a tile product needs them: [n / 16, columns / 2, 16, 2].
void amx_arrange(const struct job *job, uint32_t *to) {
  const int64_t pairs = job->words * WORD / 2;
  const uint32_t *inputs = job->inputs;
  for (int64_t block = 0; block < job->n; block += TILE) {
    for (int64_t pair = 0; pair < pairs; pair += TILE) {  // one cache line of each row at a time
      for (int row = 0; row < TILE; row++) {
        const uint32_t *from = block + row < job->n ? inputs + (block + row) * pairs + pair : NULL;
        for (int i = 0; i < TILE; i++) to[(pair + i) * TILE + row] = from ? from[i] : 0;
      }
    }
    to += pairs * TILE;
  }
}

typedef float tiles[2][2][TILE][TILE];  // [i][j]: sums of rows 16 i and inputs 16 j

#define TILES_OF(sums) \
  "r"((sums)[0][0]), "r"((sums)[0][1]), "r"((sums)[1][0]), "r"((sums)[1][1]), "r"((int64_t)sizeof (sums)[0][0][0])

// Add the products of 32 rows of a panel with 32 inputs, or 16 if `both` is 0, over `depth` columns.
static void multiply_tiles(const uint16_t *rows, int64_t stride, const uint32_t *inputs, const uint32_t *next, int64_t depth,
                           int both, tiles sums) {
  const uint16_t *below = rows + TILE * stride;
  __asm__ volatile(
      "tileloadd (%0, %4), %%tmm0; tileloadd (%1, %4), %%tmm1; tileloadd (%2, %4), %%tmm2; tileloadd (%3, %4), %%tmm3"
      :
      : TILES_OF(sums)
      : "memory");
  for (int64_t column = 0; column < depth; column += DEPTH) {
    const uint32_t *pairs = inputs + column / 2 * TILE;
    __asm__ volatile("tileloadd (%0, %2), %%tmm4; tileloadd (%3, %4), %%tmm6; tileloadd (%1, %2), %%tmm5;"
                     "tdpbf16ps %%tmm6, %%tmm4, %%tmm0; tdpbf16ps %%tmm6, %%tmm5, %%tmm2"
                     :
                     : "r"(rows + column), "r"(below + column), "r"(2 * stride), "r"(pairs), "r"((int64_t)2 * DEPTH)
                     : "memory");
    if (both) {
      __asm__ volatile("tileloadd (%0, %1), %%tmm7; tdpbf16ps %%tmm7, %%tmm4, %%tmm1; tdpbf16ps %%tmm7, %%tmm5, %%tmm3"
                       :
                       : "r"(next + column / 2 * TILE), "r"((int64_t)2 * DEPTH)
                       : "memory");
    }
  }
  __asm__ volatile(
      "tilestored %%tmm0, (%0, %4); tilestored %%tmm1, (%1, %4); tilestored %%tmm2, (%2, %4); tilestored %%tmm3, (%3, %4)"
      :
      : TILES_OF(sums)
      : "memory");
}

static void put_sums(const struct job *job, int64_t row, int64_t rows, int64_t input, tiles sums) {
  const int64_t inputs = job->n - input < 2 * TILE ? job->n - input : 2 * TILE;
  for (int64_t j = 0; j < inputs; j++) {
    uint16_t *to = (uint16_t *)job->out + (input + j) * job->rows + row;
    for (int64_t i = 0; i < rows; i++) {
      const float sum = sums[i / TILE][j / TILE][i % TILE][j % TILE];
      to[i] = bf16_of(job->scales ? sum * job->scales[row + i] : sum);
    }
  }
}

// Write the products of a range of rows with all inputs, which amx_arrange has arranged.
void amx_product(const struct job *job, int64_t first, int64_t last) {
  const int64_t width = job->words * WORD, stride = width + PAD, group = 2 * TILE;
  const int64_t fitting = PANEL_BYTES / (group * stride * 2), groups = fitting ? fitting : 1, panel_rows = groups * group;
  const size_t panel_bytes = (size_t)(panel_rows * stride * 2);
  uint16_t *panel = aligned_alloc(64, panel_bytes + (size_t)groups * sizeof(tiles));
  if (panel == NULL) {
    *job->failed = 1;
    return;
  }
  tiles *sums = (tiles *)((char *)panel + panel_bytes);
  configure();
  for (int64_t row = first; row < last; row += panel_rows) {
    const int64_t count = last - row < panel_rows ? last - row : panel_rows, padded = (count + group - 1) / group * group;
    struct job rows = *job;
    rows.bits += row * job->words;
    rows.starts += row;
    rows.dense = panel;
    rows.columns = stride;
    job->unpack_rows(&rows, 0, count);
    memset(panel + count * stride, 0, (size_t)((padded - count) * stride * 2));
    for (int64_t input = 0; input < job->n; input += group) {
      const uint32_t *inputs = (const uint32_t *)job->inputs + input * width / 2, *next = inputs + width / 2 * TILE;
      memset(sums, 0, (size_t)(padded / group) * sizeof *sums);
      for (int64_t column = 0; column < width; column += SLICE) {  // inputs of a slice stay in the first cache
        const int64_t depth = width - column < SLICE ? width - column : SLICE, offset = column / 2 * TILE;
        for (int64_t i = 0; i < count; i += group) {
          const uint16_t *from = panel + i * stride + column;
          multiply_tiles(from, stride, inputs + offset, next + offset, depth, job->n - input > TILE, sums[i / group]);
        }
      }
      for (int64_t i = 0; i < count; i += group) {
        put_sums(job, row + i, count - i < group ? count - i : group, input, sums[i / group]);
      }
    }
  }
  __asm__ volatile("tilerelease");
  free(panel);
}

#endif
