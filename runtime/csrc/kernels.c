// Entry points: the variants that this processor can run, and the split of rows over threads.

#include "kernels.h"

#include <stdatomic.h>
#include <stdlib.h>

#if X86
#include <cpuid.h>
#endif

#define EXPORT __attribute__((visibility("default")))

enum { OK, NO_MEMORY };
enum { CHUNKS_PER_THREAD = 8 };
enum { FEW = 3 };  // input rows up to which each is multiplied by itself, where there are tiles

static const struct variant *const VARIANTS[] = {
#if X86
    &avx512_bf16_variant, &avx512_variant, &avx2_variant,
#elif ARM
    &neon_variant,
#endif
    &c_variant,
};
enum { COUNT = sizeof VARIANTS / sizeof *VARIANTS };

// GOMP_parallel of the OpenMP runtime that PyTorch has loaded, or NULL.
static void (*parallel)(void (*)(void *), void *, unsigned, unsigned);

static int is_supported(const struct variant *variant) {
#if X86
  if (variant == &c_variant) return 1;
  unsigned a, b, c, d, extended, mask = 0, high;
  if (__get_cpuid_max(0, NULL) < 7) return 0;
  __cpuid(1, a, b, c, d);
  unsigned basic = c;
  if (basic >> 27 & 1) __asm__("xgetbv" : "=a"(mask), "=d"(high) : "c"(0));
  __cpuid_count(7, 0, a, b, c, d);
  extended = a;
  int avx2 = (mask & 6) == 6 && basic >> 12 & 1 && basic >> 23 & 1 && basic >> 29 & 1  // FMA, POPCNT, F16C
             && b >> 3 & 1 && b >> 5 & 1 && b >> 8 & 1;                                // BMI1, AVX2, BMI2
  int avx512 = avx2 && (mask & 0xe6) == 0xe6 && b >> 16 & 1 && b >> 17 & 1 && b >> 30 & 1 && b >> 31 & 1;  // F, DQ, BW, VL
  if (variant == &avx2_variant) return avx2;
  if (variant == &avx512_variant) return avx512;
  if (!avx512 || !(c >> 1 & 1) || !(c >> 6 & 1) || extended < 1) return 0;  // VBMI, VBMI2
  __cpuid_count(7, 1, a, b, c, d);
  return a >> 5 & 1;  // BF16
#else
  (void)variant;
  return 1;
#endif
}

// Return the name of a variant, the fastest first, or NULL past the last one.
EXPORT const char *kernels_name(int index) { return index < COUNT ? VARIANTS[index]->name : NULL; }

EXPORT int kernels_supported(int index) { return is_supported(VARIANTS[index]); }

// Call before all others.
EXPORT void kernels_init(void *gomp_parallel) {
  fill_lookup_tables();
  memcpy(&parallel, &gomp_parallel, sizeof parallel);
}

struct split {
  kernel *run;
  const struct job *job;
  int64_t chunk;
  _Atomic int64_t next;
};

static void take_chunks(void *argument) {
  struct split *split = argument;
  int64_t first, rows = split->job->rows;
  while ((first = atomic_fetch_add_explicit(&split->next, split->chunk, memory_order_relaxed)) < rows) {
    split->run(split->job, first, rows - first < split->chunk ? rows : first + split->chunk);
  }
}

// `grain`: number of rows of which chunks are multiples.
static void run_rows(kernel *run, const struct job *job, int threads, int64_t grain) {
  if (threads < 2 || parallel == NULL || job->rows < 2) {
    run(job, 0, job->rows);
    return;
  }
  int64_t chunk = job->rows / (threads * CHUNKS_PER_THREAD) + 1;
  struct split split = {run, job, (chunk + grain - 1) / grain * grain, 0};
  parallel(take_chunks, &split, (unsigned)threads, 0);
}

// Write the bits and starts of a dense matrix; return the number of kept values.
EXPORT int64_t kernels_mask(int variant, int threads, void *dense, int64_t rows, int64_t columns, int type, void *bits,
                            int64_t *starts) {
  struct job job = {.bits = bits, .starts = starts, .dense = dense, .rows = rows, .columns = columns,
                    .words = (columns + 63) / WORD};
  run_rows(VARIANTS[variant]->mask[type], &job, threads, 1);
  starts[0] = 0;
  for (int64_t row = 0; row < rows; row++) starts[row + 1] += starts[row];
  return starts[rows];
}

// Write the kept values of a dense matrix, given its bits and starts.
EXPORT void kernels_pack(int variant, int threads, void *dense, int64_t rows, int64_t columns, int type, void *bits,
                         int64_t *starts, void *values) {
  struct job job = {.bits = bits, .values = values, .starts = starts, .dense = dense, .rows = rows, .columns = columns,
                    .words = (columns + 63) / WORD};
  run_rows(VARIANTS[variant]->pack[type], &job, threads, 1);
}

// Write a dense matrix. Its type is that of the values, or any with int8 values.
EXPORT void kernels_unpack(int variant, int threads, void *bits, void *values, int64_t *starts, float *scales, void *dense,
                           int64_t rows, int64_t columns, int value_type, int type) {
  struct job job = {.bits = bits, .values = values, .starts = starts, .scales = scales, .dense = dense,
                    .rows = rows, .columns = columns, .words = (columns + 63) / WORD, .type = type};
  run_rows(VARIANTS[variant]->unpack[value_type], &job, threads, 1);
}

// Write int8 values and the scale of each row.
EXPORT void kernels_quantize(int variant, int threads, void *values, int64_t *starts, int64_t rows, int type, int8_t *out,
                             float *scales) {
  struct job job = {.values = values, .starts = starts, .scales = scales, .out = out, .rows = rows};
  run_rows(VARIANTS[variant]->quantize[type], &job, threads, 1);
}

// Point job->inputs at inputs of a whole number of words in the type that the kernel reads: the caller's, or a copy.
static int prepare_inputs(const struct variant *variant, struct job *job, int64_t n, int as_bf16, void **copy) {
  int64_t width = job->words * WORD, columns = job->columns;
  size_t from_size = job->type == FP32 ? 4 : 2, to_size = as_bf16 ? 2 : 4;
  *copy = NULL;
  if (columns == 0 || (columns == width && from_size == to_size)) return OK;
  *copy = malloc((size_t)(n * width) * to_size + 1);
  if (*copy == NULL) return NO_MEMORY;
  for (int64_t row = 0; row < n; row++) {
    const char *from = (const char *)job->inputs + (size_t)(row * columns) * from_size;
    char *to = (char *)*copy + (size_t)(row * width) * to_size;
    if (from_size == to_size) memcpy(to, from, (size_t)columns * to_size);
    else variant->widen[job->type](from, columns, (float *)to);
    memset(to + (size_t)columns * to_size, 0, (size_t)(width - columns) * to_size);
  }
  job->inputs = *copy;
  return OK;
}

// Tell whether kernels_matmul multiplies any number of bf16 input rows by tiles.
EXPORT int kernels_tiles(int index) {
#if TILES
  static int supported = -1;
  if (supported < 0) supported = amx_is_supported();
  return supported && VARIANTS[index] == &avx512_bf16_variant;
#else
  (void)index;
  return 0;
#endif
}

#if TILES
static int multiply_by_tiles(const struct variant *variant, struct job *job, int threads, int value_type) {
  enum { GROUP = 32 };
  const int64_t groups = (job->n + GROUP - 1) / GROUP, width = job->words * WORD;
  int failed = 0;
  uint32_t *arranged = aligned_alloc(64, (size_t)(groups * GROUP * width * 2 + 64));
  if (arranged == NULL) return NO_MEMORY;
  amx_arrange(job, arranged);
  job->inputs = arranged;
  job->unpack_rows = value_type == INT8 ? variant->unpack_int8_unscaled : variant->unpack[value_type];
  job->failed = &failed;
  run_rows(amx_product, job, threads, GROUP);
  free(arranged);
  return failed ? NO_MEMORY : OK;
}
#endif

// Write the products of n input rows. Inputs and out have one type: that of the values, or any with int8 values.
EXPORT int kernels_matmul(int index, int threads, void *bits, void *values, int64_t *starts, float *scales, const void *inputs,
                          void *out, int64_t rows, int64_t columns, int64_t n, int value_type, int type) {
  const struct variant *variant = VARIANTS[index];
  struct job job = {.bits = bits, .values = values, .starts = starts, .scales = scales, .inputs = inputs, .out = out,
                    .rows = rows, .columns = columns, .words = (columns + 63) / WORD, .n = n, .type = type};
  int by_tiles = n > FEW && type == BF16 && job.words > 0 && kernels_tiles(index);
  int as_bf16 = by_tiles || (variant->bf16_inputs && value_type == BF16), result = OK;
  void *copy;
  if (prepare_inputs(variant, &job, n, as_bf16, &copy) != OK) return NO_MEMORY;
#if TILES
  if (by_tiles) {
    result = multiply_by_tiles(variant, &job, threads, value_type);
    n = 0;
  }
#endif
  for (int64_t first = 0; first < n; first += BATCH) {
    int64_t batch = n - first < BATCH ? n - first : BATCH;
    run_rows(variant->matmul[value_type][batch - 1], &job, threads, 1);
    job.inputs = (const char *)job.inputs + (size_t)(batch * job.words * WORD) * (as_bf16 ? 2 : 4);
    job.out = (char *)job.out + (size_t)(batch * rows) * (type == FP32 ? 4 : 2);
  }
  free(copy);
  return result;
}
