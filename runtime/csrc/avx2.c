// AVX2 with FMA and F16C: kept values move to their columns by byte shuffles from lookup tables.

#include "kernels.h"

#if X86

#include <immintrin.h>

#define NAME avx2
#define LABEL "avx2"
#define DOT_BF16 0
#define TARGET __attribute__((target("avx2,fma,f16c,popcnt,bmi,bmi2")))
#define LANES 8
#define VECTOR __m256
#define zero _mm256_setzero_ps()
#define bytes __m128i

TARGET INLINE bytes load16(const void *from) { return _mm_loadu_si128(from); }

TARGET INLINE void save16(void *to, bytes vector) { _mm_storeu_si128(to, vector); }

TARGET INLINE bytes shuffle(bytes vector, const uint8_t *indices) { return _mm_shuffle_epi8(vector, load16(indices)); }

#include "f16c.h"
#include "lookup.h"

TARGET INLINE __m256 add(__m256 sum, __m256 weights, const float *inputs) {
  return _mm256_fmadd_ps(weights, _mm256_loadu_ps(inputs), sum);
}

TARGET INLINE __m256 multiply(__m256 weights, const float *inputs) { return _mm256_mul_ps(weights, _mm256_loadu_ps(inputs)); }

TARGET INLINE __m256 plus(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }

TARGET INLINE float total(__m256 eight) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

TARGET INLINE void store(__m256 vector, float *to) { _mm256_storeu_ps(to, vector); }

TARGET INLINE void expand_bf16(uint64_t bits, const uint16_t *values, __m256 *vectors) {
  UNROLL for (int i = 0; i < 8; i++) {
    const uint32_t offset = OFFSET(bits, i, 5);
    const __m256i twice = _mm256_broadcastsi128_si256(load16(values));
    vectors[i] = _mm256_castsi256_ps(_mm256_shuffle_epi8(twice, _mm256_loadu_si256((const __m256i *)ENTRY(widening, offset))));
    values += __builtin_popcount(offset);
  }
}

TARGET INLINE void expand_fp16(uint64_t bits, const uint16_t *values, __m256 *vectors) {
  UNROLL for (int i = 0; i < 8; i++) {
    const uint32_t offset = OFFSET(bits, i, 4);
    vectors[i] = _mm256_cvtph_ps(shuffle(load16(values), ENTRY(spreading16, offset)));
    values += __builtin_popcount(offset);
  }
}

TARGET INLINE void expand_int8(uint64_t bits, const int8_t *values, __m256 *vectors) {
  UNROLL for (int i = 0; i < 8; i++) {
    const uint32_t offset = OFFSET(bits, i, 3);
    const bytes indices = _mm_loadl_epi64((const __m128i *)ENTRY(spreading8, offset));
    const bytes eight = _mm_shuffle_epi8(_mm_loadl_epi64((const __m128i *)values), indices);
    vectors[i] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
    values += __builtin_popcount(offset);
  }
}

TARGET INLINE void expand_fp32(uint64_t bits, const float *values, __m256 *vectors) {
  UNROLL for (int i = 0; i < 8; i++) {
    const bytes low = shuffle(load16(values), spreading32[NIBBLE(bits, 2 * i)]);
    values += __builtin_popcountll(NIBBLE(bits, 2 * i));
    const bytes high = shuffle(load16(values), spreading32[NIBBLE(bits, 2 * i + 1)]);
    values += __builtin_popcountll(NIBBLE(bits, 2 * i + 1));
    vectors[i] = _mm256_castsi256_ps(_mm256_set_m128i(high, low));
  }
}

TARGET INLINE uint64_t nonzero_16(const uint16_t *from) {
  uint64_t bits = 0;
  UNROLL for (int i = 0; i < 2; i++) {
    const __m256i *part = (const __m256i *)(from + 32 * i);
    const __m256i low = _mm256_cmpeq_epi16(_mm256_slli_epi16(_mm256_loadu_si256(part), 1), _mm256_setzero_si256());
    const __m256i high = _mm256_cmpeq_epi16(_mm256_slli_epi16(_mm256_loadu_si256(part + 1), 1), _mm256_setzero_si256());
    const __m256i in_order = _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xd8);
    bits |= (uint64_t)(uint32_t)~_mm256_movemask_epi8(in_order) << 32 * i;
  }
  return bits;
}

TARGET INLINE uint64_t nonzero_32(const float *from) {
  uint64_t bits = 0;
  UNROLL for (int i = 0; i < 8; i++) {
    const __m256i magnitude = _mm256_slli_epi32(_mm256_loadu_si256((const __m256i *)(from + 8 * i)), 1);
    const __m256 is_zero = _mm256_castsi256_ps(_mm256_cmpeq_epi32(magnitude, _mm256_setzero_si256()));
    bits |= (uint64_t)(~_mm256_movemask_ps(is_zero) & 255) << 8 * i;
  }
  return bits;
}

#include "variant.h"

#endif
