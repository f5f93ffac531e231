// Sparse matrices as bits and kept values: types shared by all kernels.
//
// Bit i of word w of a row says that column 64 w + i is kept; bits past the last column are zero.
// Values are stored row by row, then 64 zeros; `starts[r]` is the index of the first value of row r.

#ifndef KERNELS_H
#define KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#define X86 1
#if defined(__linux__)
#define TILES 1  // amx.c
#endif
#elif defined(__aarch64__)
#define ARM 1
#endif

#define INLINE static inline __attribute__((always_inline))
#ifndef UNROLL
#define UNROLL _Pragma("GCC unroll 8")
#endif
#define JOIN_NAMES(a, b) a##_##b
#define JOIN(a, b) JOIN_NAMES(a, b)

// Bytes between a load and the prefetch of what follows: the processor's own prefetch stops at the end of a page.
enum { AHEAD = 2048 };

#define PREFETCH_AHEAD(values, bits, word) \
  do { \
    __builtin_prefetch((const char *)(values) + AHEAD); \
    if (sizeof *(values) == 4) __builtin_prefetch((const char *)(values) + AHEAD + 64); \
    if (!((word) & 7)) __builtin_prefetch((const char *)((bits) + (word)) + 512); \
  } while (0)

enum { BF16, FP16, FP32, INT8, TYPES };
enum { WORD = 64, BATCH = 8 };  // columns per word of bits; input rows per product

struct job {
  uint64_t *bits;
  void *values;
  int64_t *starts;
  float *scales;       // one per row, or NULL
  void *dense;         // [rows, columns]: source of pack, destination of unpack
  const void *inputs;  // [n, 64 words], zero past the last column
  void *out;           // [n, rows]
  int64_t rows, columns, words, n;
  int type;  // of dense or out
  // amx.c
  void (*unpack_rows)(const struct job *job, int64_t first, int64_t last);
  int *failed;  // set to 1 without memory
};

// Every kernel processes the rows from `first` to `last - 1`.
typedef void kernel(const struct job *job, int64_t first, int64_t last);

struct variant {
  const char *name;
  int bf16_inputs;  // products of bf16 values read bf16 inputs, all others read fp32 inputs
  kernel *matmul[TYPES][BATCH];
  kernel *unpack[TYPES];
  kernel *unpack_int8_unscaled;  // int8 values as bf16 numbers; NULL where amx.c is not used
  kernel *mask[INT8];  // dense to bits, and the number of kept values to starts[row + 1]
  kernel *pack[INT8];  // dense and bits to values
  kernel *quantize[INT8];
  void (*widen[INT8])(const void *from, int64_t count, float *to);
};

extern const struct variant avx512_bf16_variant, avx512_variant, avx2_variant, neon_variant, c_variant;

int amx_is_supported(void);
void amx_arrange(const struct job *job, uint32_t *to);
kernel amx_product;

// lookup.c
extern uint8_t widening[256][32], spreading16[256][16], spreading8[256][8], spreading32[16][16];
extern uint8_t squeezing16[256][16], squeezing32[16][16];
void fill_lookup_tables(void);

INLINE float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

INLINE uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

// Round to nearest, ties to even; NaN stays NaN.
INLINE uint16_t bf16_of(float value) {
  uint32_t bits = bits_of(value), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}

INLINE float fp32_of_bf16(uint16_t value) { return float_of((uint32_t)value << 16); }

#endif
