// AVX-512 with VBMI and VBMI2, which permute and expand elements of 8 and 16 bits, and BF16, which multiplies bf16 numbers.

#include "kernels.h"

#if X86

#define NAME avx512_bf16
#define LABEL "avx512-bf16"
#define DOT_BF16 1
#define TARGET \
  __attribute__((target("avx512vbmi,avx512vbmi2,avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,popcnt,bmi,bmi2")))
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
  // byte v + 128 becomes the lowest of the number 2^23 + 128 + v; the subtraction is exact
  const __m512i biased = _mm512_xor_si512(_mm512_maskz_expand_epi8(bits, _mm512_loadu_si512(values)), _mm512_set1_epi8(-128));
  const __m512i base = _mm512_set1_epi32(0x4b000080);
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  UNROLL for (int i = 0; i < 4; i++) {
    const __m512i columns = _mm512_add_epi32(lanes, _mm512_set1_epi32(16 * i));
    const __m512i number = _mm512_mask_permutexvar_epi8(base, 0x1111111111111111, columns, biased);
    vectors[i] = _mm512_sub_ps(_mm512_castsi512_ps(number), _mm512_castsi512_ps(base));
  }
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

// job->columns is the distance of the rows, at least their whole words.
TARGET static void unpack_int8_unscaled(const struct job *job, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; row++) {
    const uint64_t *bits = job->bits + row * job->words;
    const int8_t *values = (const int8_t *)job->values + job->starts[row];
    uint16_t *to = (uint16_t *)job->dense + row * job->columns;
    for (int64_t word = 0; word < job->words; word++, to += WORD) {
      __m512 weights[4];
      PREFETCH_AHEAD(values, bits, word);
      expand_int8(bits[word], values, weights);
      _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(weights[1], weights[0]));
      _mm512_storeu_si512(to + 32, (__m512i)_mm512_cvtne2ps_pbh(weights[3], weights[2]));
      values += __builtin_popcountll(bits[word]);
    }
  }
}

#include "variant.h"

#endif
