// Row loops of one variant; its file defines the operations on words and then includes this one:
//   NAME, LABEL, TARGET (function attributes), VECTOR of LANES fp32 numbers
//   expand_TYPE(bits, values, vectors)   64 columns as fp32 numbers, zero where nothing is kept
//   zero, multiply(weights, inputs), add(sum, weights, inputs), plus(sum, sum), total(sum), store(vector, to)
//   spread_16, spread_32(bits, values, to)   64 columns in the type of the values
//   squeeze_16, squeeze_32(bits, from, to)   the kept ones of 64 columns; writes at most 64 elements
//   nonzero_16, nonzero_32(from)   bits of 64 columns
//   fp16_of(float), widen_fp16(from, count, to), narrow_fp16(from, count, to)

#define STEPS (WORD / LANES)

TARGET static void widen_bf16(const void *from, int64_t count, float *to) {
  const uint16_t *values = from;
  for (int64_t i = 0; i < count; i++) to[i] = fp32_of_bf16(values[i]);
}

TARGET static void widen_fp32(const void *from, int64_t count, float *to) { memcpy(to, from, (size_t)count * sizeof *to); }

TARGET INLINE void narrow_bf16(const float *from, int64_t count, uint16_t *to) {
  for (int64_t i = 0; i < count; i++) to[i] = bf16_of(from[i]);
}

TARGET INLINE void narrow_fp32(const float *from, int64_t count, float *to) { memcpy(to, from, (size_t)count * sizeof *to); }

TARGET INLINE void put(const struct job *job, int64_t index, float value) {
  if (job->type == BF16) ((uint16_t *)job->out)[index] = bf16_of(value);
  else if (job->type == FP16) ((uint16_t *)job->out)[index] = fp16_of(value);
  else ((float *)job->out)[index] = value;
}

#define TYPE bf16
#define ELEMENT uint16_t
#define BITS 16
#include "dense.h"
#if !DOT_BF16
#include "product.h"
#endif
#undef TYPE

#define TYPE fp16
#include "dense.h"
#include "product.h"
#undef TYPE
#undef ELEMENT
#undef BITS

#define TYPE fp32
#define ELEMENT float
#define BITS 32
#include "dense.h"
#include "product.h"
#undef TYPE
#undef ELEMENT

#define TYPE int8
#define ELEMENT int8_t
#include "product.h"
#undef TYPE
#undef ELEMENT

#if DOT_BF16  // the variant's own vectors of 32 bf16 numbers
#define TYPE bf16
#define ELEMENT uint16_t
#define INPUT uint16_t
#undef STEPS
#define STEPS 2
#define multiply multiply_pairs
#define add add_pairs
#define EXPANDED __m512i
#define expand_bf16 expand_pairs
#include "product.h"
#endif

static void unpack_int8(const struct job *job, int64_t first, int64_t last) {
  (job->type == BF16 ? unpack_int8_to_bf16 : job->type == FP16 ? unpack_int8_to_fp16 : unpack_int8_to_fp32)(job, first, last);
}

#define BY_BATCH(type) {type##_1, type##_2, type##_3, type##_4, type##_5, type##_6, type##_7, type##_8}

const struct variant JOIN(NAME, variant) = {
    .name = LABEL,
    .bf16_inputs = DOT_BF16,
    .matmul = {BY_BATCH(product_bf16), BY_BATCH(product_fp16), BY_BATCH(product_fp32), BY_BATCH(product_int8)},
    .unpack = {unpack_bf16, unpack_fp16, unpack_fp32, unpack_int8},
#if DOT_BF16
    .unpack_int8_unscaled = unpack_int8_unscaled,
#endif
    .mask = {mask_bf16, mask_fp16, mask_fp32},
    .pack = {pack_bf16, pack_fp16, pack_fp32},
    .quantize = {quantize_bf16, quantize_fp16, quantize_fp32},
    .widen = {widen_bf16, widen_fp16, widen_fp32},
};
