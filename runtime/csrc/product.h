// Products of the rows of a sparse matrix, for values of type TYPE (C type ELEMENT) and 1 to 8 input rows.
//
// A sum depends on its row of the matrix and its input row alone: the order of additions is the same for any batch and thread.

#ifndef INPUT
#define INPUT float
#define EXPANDED VECTOR
#endif

TARGET INLINE void JOIN(product, TYPE)(const struct job *job, int64_t first, int64_t last, const int batch) {
  const int64_t words = job->words, width = words * WORD;
  const INPUT *inputs = job->inputs;
  for (int64_t row = first; row < last; row++) {
    const uint64_t *bits = job->bits + row * words;
    const ELEMENT *values = (const ELEMENT *)job->values + job->starts[row];
    VECTOR sums[BATCH];
    UNROLL for (int i = 0; i < batch; i++) sums[i] = zero;
    for (int64_t word = 0; word < words; word++) {
      const uint64_t kept = bits[word];
      EXPANDED weights[STEPS];
      PREFETCH_AHEAD(values, bits, word);
      JOIN(expand, TYPE)(kept, values, weights);
      values += __builtin_popcountll(kept);
      UNROLL for (int i = 0; i < batch; i++) {  // the sum of a word depends on no other: the processor computes several at once
        const INPUT *part = inputs + i * width + word * WORD;
        VECTOR sum = multiply(weights[0], part);
        UNROLL for (int step = 1; step < STEPS; step++) sum = add(sum, weights[step], part + step * (WORD / STEPS));
        sums[i] = plus(sums[i], sum);
      }
    }
    const float scale = job->scales ? job->scales[row] : 1;
    UNROLL for (int i = 0; i < batch; i++) put(job, i * job->rows + row, total(sums[i]) * scale);
  }
}

#define PRODUCT(batch) \
  TARGET static void JOIN(JOIN(product, TYPE), batch)(const struct job *job, int64_t first, int64_t last) { \
    JOIN(product, TYPE)(job, first, last, batch); \
  }
PRODUCT(1)
PRODUCT(2)
PRODUCT(3)
PRODUCT(4)
PRODUCT(5)
PRODUCT(6)
PRODUCT(7)
PRODUCT(8)
#undef PRODUCT
#undef INPUT
#undef EXPANDED
