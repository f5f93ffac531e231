// NEON on 64-bit ARM: kept values move to their columns by byte shuffles from lookup tables.

#include "kernels.h"

#if ARM

#include <arm_neon.h>

#define NAME neon
#define LABEL "neon"
#define DOT_BF16 0
#define TARGET
#define LANES 8
#define VECTOR float32x4x2_t
#define zero ((float32x4x2_t){{vdupq_n_f32(0), vdupq_n_f32(0)}})
#define bytes uint8x16_t

INLINE bytes load16(const void *from) { return vld1q_u8(from); }

INLINE void save16(void *to, bytes vector) { vst1q_u8(to, vector); }

INLINE bytes shuffle(bytes vector, const uint8_t *indices) { return vqtbl1q_u8(vector, load16(indices)); }

#include "lookup.h"
#include "scalar.h"

INLINE uint16_t fp16_of(float value) {
  return vget_lane_u16(vreinterpret_u16_f16(vcvt_f16_f32(vdupq_n_f32(value))), 0);
}

static void widen_fp16(const void *from, int64_t count, float *to) {
  const uint16_t *values = from;
  for (int64_t i = 0; i < count; i++) {
    to[i] = vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(values[i]))), 0);
  }
}

INLINE void narrow_fp16(const float *from, int64_t count, uint16_t *to) {
  for (int64_t i = 0; i < count; i++) to[i] = fp16_of(from[i]);
}

INLINE float32x4x2_t add(float32x4x2_t sum, float32x4x2_t weights, const float *inputs) {
  sum.val[0] = vfmaq_f32(sum.val[0], weights.val[0], vld1q_f32(inputs));
  sum.val[1] = vfmaq_f32(sum.val[1], weights.val[1], vld1q_f32(inputs + 4));
  return sum;
}

INLINE float32x4x2_t multiply(float32x4x2_t weights, const float *inputs) {
  weights.val[0] = vmulq_f32(weights.val[0], vld1q_f32(inputs));
  weights.val[1] = vmulq_f32(weights.val[1], vld1q_f32(inputs + 4));
  return weights;
}

INLINE float32x4x2_t plus(float32x4x2_t a, float32x4x2_t b) {
  a.val[0] = vaddq_f32(a.val[0], b.val[0]);
  a.val[1] = vaddq_f32(a.val[1], b.val[1]);
  return a;
}

INLINE float total(float32x4x2_t sum) { return vaddvq_f32(vaddq_f32(sum.val[0], sum.val[1])); }

INLINE void store(float32x4x2_t vector, float *to) {
  vst1q_f32(to, vector.val[0]);
  vst1q_f32(to + 4, vector.val[1]);
}

INLINE void expand_bf16(uint64_t bits, const uint16_t *values, float32x4x2_t *vectors) {
  UNROLL for (int i = 0; i < 8; i++) {
    const uint32_t offset = OFFSET(bits, i, 5);
    vectors[i].val[0] = vreinterpretq_f32_u8(shuffle(load16(values), ENTRY(widening, offset)));
    vectors[i].val[1] = vreinterpretq_f32_u8(shuffle(load16(values), ENTRY(widening, offset + 16)));
    values += __builtin_popcount(offset);
  }
}

INLINE void expand_fp16(uint64_t bits, const uint16_t *values, float32x4x2_t *vectors) {
  UNROLL for (int i = 0; i < 8; i++) {
    const uint32_t offset = OFFSET(bits, i, 4);
    const float16x8_t eight = vreinterpretq_f16_u8(shuffle(load16(values), ENTRY(spreading16, offset)));
    vectors[i].val[0] = vcvt_f32_f16(vget_low_f16(eight));
    vectors[i].val[1] = vcvt_f32_f16(vget_high_f16(eight));
    values += __builtin_popcount(offset);
  }
}

INLINE void expand_int8(uint64_t bits, const int8_t *values, float32x4x2_t *vectors) {
  UNROLL for (int i = 0; i < 8; i++) {
    const uint32_t offset = OFFSET(bits, i, 3);
    const int8x8_t eight = vreinterpret_s8_u8(vtbl1_u8(vld1_u8((const uint8_t *)values), vld1_u8(ENTRY(spreading8, offset))));
    const int16x8_t wide = vmovl_s8(eight);
    vectors[i].val[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
    vectors[i].val[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(wide)));
    values += __builtin_popcount(offset);
  }
}

INLINE void expand_fp32(uint64_t bits, const float *values, float32x4x2_t *vectors) {
  UNROLL for (int i = 0; i < 16; i++) {
    vectors[i / 2].val[i % 2] = vreinterpretq_f32_u8(shuffle(load16(values), spreading32[NIBBLE(bits, i)]));
    values += __builtin_popcountll(NIBBLE(bits, i));
  }
}

#include "variant.h"

#endif
