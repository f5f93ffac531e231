// Conversions of fp16 with F16C.

TARGET INLINE uint16_t fp16_of(float value) {
  return (uint16_t)_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(value), _MM_FROUND_TO_NEAREST_INT), 0);
}

TARGET static void widen_fp16(const void *from, int64_t count, float *to) {
  const uint16_t *values = from;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(values + i))));
  for (; i < count; i++) to[i] = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(values[i])));
}

TARGET INLINE void narrow_fp16(const float *from, int64_t count, uint16_t *to) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128((__m128i *)(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  }
  for (; i < count; i++) to[i] = fp16_of(from[i]);
}
