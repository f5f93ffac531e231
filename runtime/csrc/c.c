// Plain C for any processor: the kept values of a word are scattered to a buffer.

#define UNROLL
#include "kernels.h"

#define NAME c
#define LABEL "c"
#define DOT_BF16 0
#define TARGET
#define LANES 4
typedef float four __attribute__((vector_size(16), may_alias));
#define VECTOR four
#define zero ((four){0})

#include "scalar.h"

#define SCATTER(bits, values, to, convert) \
  do { \
    memset(to, 0, WORD * sizeof *(to)); \
    for (uint64_t rest = bits; rest; rest &= rest - 1) (to)[__builtin_ctzll(rest)] = convert(*(values)++); \
  } while (0)

#define GATHER(bits, from, to) \
  for (uint64_t rest = bits; rest; rest &= rest - 1) *(to)++ = (from)[__builtin_ctzll(rest)]

INLINE float fp32_of_fp16(uint16_t value) {
  const uint32_t sign = (uint32_t)(value & 0x8000) << 16, exponent = value >> 10 & 31, fraction = value & 0x3ff;
  if (exponent == 31) return float_of(sign | 0x7f800000 | fraction << 13);
  if (exponent) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
  return float_of(sign | bits_of((float)fraction * 0x1p-24f));  // subnormal
}

INLINE uint16_t fp16_of(float value) {
  const uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
  if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7c00);
  // subnormal: the sum rounds to a multiple of 2^-24
  if (magnitude < 0x38800000) return (uint16_t)(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3f000000));
  return (uint16_t)(sign | (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13);
}

static void widen_fp16(const void *from, int64_t count, float *to) {
  const uint16_t *values = from;
  for (int64_t i = 0; i < count; i++) to[i] = fp32_of_fp16(values[i]);
}

INLINE void narrow_fp16(const float *from, int64_t count, uint16_t *to) {
  for (int64_t i = 0; i < count; i++) to[i] = fp16_of(from[i]);
}

INLINE four load4(const float *from) {
  four vector;
  memcpy(&vector, from, sizeof vector);
  return vector;
}

INLINE four multiply(four weights, const float *inputs) { return weights * load4(inputs); }

INLINE four add(four sum, four weights, const float *inputs) { return sum + weights * load4(inputs); }

INLINE four plus(four a, four b) { return a + b; }

INLINE float total(four sum) { return sum[0] + sum[1] + sum[2] + sum[3]; }

INLINE void store(four vector, float *to) { memcpy(to, &vector, sizeof vector); }

INLINE void expand_bf16(uint64_t bits, const uint16_t *values, four *vectors) {
  float *to = (float *)vectors;
  SCATTER(bits, values, to, fp32_of_bf16);
}

INLINE void expand_fp16(uint64_t bits, const uint16_t *values, four *vectors) {
  float *to = (float *)vectors;
  SCATTER(bits, values, to, fp32_of_fp16);
}

INLINE void expand_fp32(uint64_t bits, const float *values, four *vectors) {
  float *to = (float *)vectors;
  SCATTER(bits, values, to, );
}

INLINE void expand_int8(uint64_t bits, const int8_t *values, four *vectors) {
  float *to = (float *)vectors;
  SCATTER(bits, values, to, );
}

INLINE void spread_16(uint64_t bits, const uint16_t *values, uint16_t *to) { SCATTER(bits, values, to, ); }

INLINE void spread_32(uint64_t bits, const float *values, float *to) { SCATTER(bits, values, to, ); }

INLINE void squeeze_16(uint64_t bits, const uint16_t *from, uint16_t *to) { GATHER(bits, from, to); }

INLINE void squeeze_32(uint64_t bits, const float *from, float *to) { GATHER(bits, from, to); }

#include "variant.h"
