// AVX-512 without instructions for 16-bit numbers: 16-bit values are widened and expanded as 32-bit numbers.

#include "kernels.h"

#if X86

#define NAME avx512
#define LABEL "avx512"
#define DOT_BF16 0
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,popcnt,bmi,bmi2")))
#include "avx512.h"

TARGET INLINE __m512i expand_uint16(__mmask16 mask, const uint16_t *values) {
  return _mm512_maskz_expand_epi32(mask, _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)values)));
}

TARGET INLINE void expand_bf16(uint64_t bits, const uint16_t *values, __m512 *vectors) {
  UNROLL for (int i = 0; i < 4; i++) {
    vectors[i] = _mm512_castsi512_ps(_mm512_slli_epi32(expand_uint16(PART(bits, i), values), 16));
    values += COUNT(bits, i);
  }
}

TARGET INLINE void expand_fp16(uint64_t bits, const uint16_t *values, __m512 *vectors) {
  UNROLL for (int i = 0; i < 4; i++) {
    vectors[i] = _mm512_maskz_expand_ps(PART(bits, i), _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)values)));
    values += COUNT(bits, i);
  }
}

TARGET INLINE void expand_int8(uint64_t bits, const int8_t *values, __m512 *vectors) {
  UNROLL for (int i = 0; i < 4; i++) {
    const __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)values));
    vectors[i] = _mm512_cvtepi32_ps(_mm512_maskz_expand_epi32(PART(bits, i), wide));
    values += COUNT(bits, i);
  }
}

TARGET INLINE void spread_16(uint64_t bits, const uint16_t *values, uint16_t *to) {
  UNROLL for (int i = 0; i < 4; i++) {
    _mm256_storeu_si256((__m256i *)(to + 16 * i), _mm512_cvtepi32_epi16(expand_uint16(PART(bits, i), values)));
    values += COUNT(bits, i);
  }
}

TARGET INLINE void squeeze_16(uint64_t bits, const uint16_t *from, uint16_t *to) {
  UNROLL for (int i = 0; i < 4; i++) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(from + 16 * i)));
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(PART(bits, i), wide)));
    to += COUNT(bits, i);
  }
}

#include "variant.h"

#endif
