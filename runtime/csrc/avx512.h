// Operations on words with AVX-512 F, BW, DQ and VL.

#include <immintrin.h>

#define LANES 16
#define VECTOR __m512
#define zero _mm512_setzero_ps()
#define PART(bits, i) ((__mmask16)((bits) >> (16 * (i))))
#define COUNT(bits, i) __builtin_popcount((uint16_t)((bits) >> (16 * (i))))

TARGET INLINE __m512 add(__m512 sum, __m512 weights, const float *inputs) {
  return _mm512_fmadd_ps(weights, _mm512_loadu_ps(inputs), sum);
}

TARGET INLINE __m512 multiply(__m512 weights, const float *inputs) { return _mm512_mul_ps(weights, _mm512_loadu_ps(inputs)); }

TARGET INLINE __m512 plus(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }

TARGET INLINE float total(__m512 sum) { return _mm512_reduce_add_ps(sum); }

TARGET INLINE void store(__m512 vector, float *to) { _mm512_storeu_ps(to, vector); }

TARGET INLINE void expand_fp32(uint64_t bits, const float *values, __m512 *vectors) {
  UNROLL for (int i = 0; i < 4; i++) {
    vectors[i] = _mm512_maskz_expand_ps(PART(bits, i), _mm512_loadu_ps(values));
    values += COUNT(bits, i);
  }
}

TARGET INLINE void spread_32(uint64_t bits, const float *values, float *to) {
  __m512 vectors[4];
  expand_fp32(bits, values, vectors);
  UNROLL for (int i = 0; i < 4; i++) _mm512_storeu_ps(to + 16 * i, vectors[i]);
}

TARGET INLINE void squeeze_32(uint64_t bits, const float *from, float *to) {
  UNROLL for (int i = 0; i < 4; i++) {
    _mm512_storeu_ps(to, _mm512_maskz_compress_ps(PART(bits, i), _mm512_loadu_ps(from + 16 * i)));
    to += COUNT(bits, i);
  }
}

TARGET INLINE uint64_t nonzero_16(const uint16_t *from) {
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  const uint64_t low = _mm512_test_epi16_mask(_mm512_loadu_si512(from), magnitude);
  return low | (uint64_t)_mm512_test_epi16_mask(_mm512_loadu_si512(from + 32), magnitude) << 32;
}

TARGET INLINE uint64_t nonzero_32(const float *from) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  uint64_t bits = 0;
  UNROLL for (int i = 0; i < 4; i++) {
    bits |= (uint64_t)_mm512_test_epi32_mask(_mm512_loadu_si512(from + 16 * i), magnitude) << 16 * i;
  }
  return bits;
}

#include "f16c.h"
