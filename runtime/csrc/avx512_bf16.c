// AVX-512 with VBMI2, which expands 8-bit and 16-bit elements, and BF16, which multiplies pairs of bf16 numbers.

#include "kernels.h"

#if X86

#define NAME avx512_bf16
#define LABEL "avx512-bf16"
#define DOT_BF16 1
#define TARGET \
  __attribute__((target("avx512vbmi2,avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,popcnt,bmi,bmi2")))
#include "avx512.h"

TARGET INLINE void expand_pairs(uint64_t bits, const uint16_t *values, __m512i *vectors) {
  const uint32_t low = (uint32_t)bits;
  uint32_t high = (uint32_t)(bits >> 32);
  __asm__("" : "+r"(high));  // else GCC shifts in a mask register, which takes a tenth longer
  vectors[0] = _mm512_maskz_expand_epi16(low, _mm512_loadu_si512(values));
  vectors[1] = _mm512_maskz_expand_epi16(high, _mm512_loadu_si512(values + __builtin_popcount(low)));
}

TARGET INLINE __m512 add_pairs(__m512 sum, __m512i weights, const uint16_t *inputs) {
  return _mm512_dpbf16_ps(sum, (__m512bh)weights, (__m512bh)_mm512_loadu_si512(inputs));
}

TARGET INLINE __m512 multiply_pairs(__m512i weights, const uint16_t *inputs) { return add_pairs(zero, weights, inputs); }

TARGET INLINE void expand_fp16(uint64_t bits, const uint16_t *values, __m512 *vectors) {
  __m512i halves[2];
  expand_pairs(bits, values, halves);
  UNROLL for (int i = 0; i < 2; i++) {
    vectors[2 * i] = _mm512_cvtph_ps(_mm512_castsi512_si256(halves[i]));
    vectors[2 * i + 1] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves[i], 1));
  }
}

TARGET INLINE void expand_int8(uint64_t bits, const int8_t *values, __m512 *vectors) {
  const __m512i bytes = _mm512_maskz_expand_epi8(bits, _mm512_loadu_si512(values));
  vectors[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_castsi512_si128(bytes)));
  vectors[1] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(bytes, 1)));
  vectors[2] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(bytes, 2)));
  vectors[3] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm512_extracti32x4_epi32(bytes, 3)));
}

TARGET INLINE void spread_16(uint64_t bits, const uint16_t *values, uint16_t *to) {
  __m512i vectors[2];
  expand_pairs(bits, values, vectors);
  _mm512_storeu_si512(to, vectors[0]);
  _mm512_storeu_si512(to + 32, vectors[1]);
}

TARGET INLINE void squeeze_16(uint64_t bits, const uint16_t *from, uint16_t *to) {
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi16((__mmask32)bits, _mm512_loadu_si512(from)));
  to += __builtin_popcount((uint32_t)bits);
  _mm512_storeu_si512(to, _mm512_maskz_compress_epi16((__mmask32)(bits >> 32), _mm512_loadu_si512(from + 32)));
}

#include "variant.h"

#endif
