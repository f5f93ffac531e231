// Conversions between dense and sparse rows of type TYPE (C type ELEMENT of BITS bits).

TARGET static void JOIN(mask, TYPE)(const struct job *job, int64_t first, int64_t last) {
  const int64_t whole = job->columns / WORD;
  for (int64_t row = first; row < last; row++) {
    const ELEMENT *from = (const ELEMENT *)job->dense + row * job->columns;
    uint64_t *bits = job->bits + row * job->words;
    int64_t count = 0;
    for (int64_t word = 0; word < whole; word++) {
      __builtin_prefetch((const char *)(from + word * WORD) + AHEAD);
      bits[word] = JOIN(nonzero, BITS)((const void *)(from + word * WORD));
      count += __builtin_popcountll(bits[word]);
    }
    if (whole < job->words) {
      ELEMENT rest[WORD] = {0};
      memcpy(rest, from + whole * WORD, (size_t)(job->columns - whole * WORD) * sizeof *rest);
      bits[whole] = JOIN(nonzero, BITS)((const void *)rest);
      count += __builtin_popcountll(bits[whole]);
    }
    job->starts[row + 1] = count;
  }
}

TARGET static void JOIN(pack, TYPE)(const struct job *job, int64_t first, int64_t last) {
  // a whole vector is written where it stays within the values of these rows: other threads write those of the others
  const ELEMENT *end = (const ELEMENT *)job->values + job->starts[last];
  for (int64_t row = first; row < last; row++) {
    const ELEMENT *from = (const ELEMENT *)job->dense + row * job->columns;
    const uint64_t *bits = job->bits + row * job->words;
    ELEMENT *to = (ELEMENT *)job->values + job->starts[row];
    for (int64_t word = 0; word < job->words; word++, from += WORD) {
      __builtin_prefetch((const char *)from + AHEAD);
      if (end - to >= WORD && (word + 1) * WORD <= job->columns) {
        JOIN(squeeze, BITS)(bits[word], (const void *)from, (void *)to);
        to += __builtin_popcountll(bits[word]);
      } else {
        for (uint64_t kept = bits[word]; kept; kept &= kept - 1) *to++ = from[__builtin_ctzll(kept)];
      }
    }
  }
}

TARGET static void JOIN(unpack, TYPE)(const struct job *job, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; row++) {
    const uint64_t *bits = job->bits + row * job->words;
    const ELEMENT *values = (const ELEMENT *)job->values + job->starts[row];
    ELEMENT *to = (ELEMENT *)job->dense + row * job->columns;
    for (int64_t word = 0; word < job->words; word++) {
      const int64_t left = job->columns - word * WORD;
      PREFETCH_AHEAD(values, bits, word);
      if (left >= WORD) {
        JOIN(spread, BITS)(bits[word], (const void *)values, (void *)(to + word * WORD));
      } else {
        ELEMENT rest[WORD];
        JOIN(spread, BITS)(bits[word], (const void *)values, (void *)rest);
        memcpy(to + word * WORD, rest, (size_t)left * sizeof *rest);
      }
      values += __builtin_popcountll(bits[word]);
    }
  }
}

TARGET static void JOIN(unpack_int8_to, TYPE)(const struct job *job, int64_t first, int64_t last) {
  for (int64_t row = first; row < last; row++) {
    const uint64_t *bits = job->bits + row * job->words;
    const int8_t *values = (const int8_t *)job->values + job->starts[row];
    ELEMENT *to = (ELEMENT *)job->dense + row * job->columns;
    for (int64_t word = 0; word < job->words; word++) {
      const int64_t left = job->columns - word * WORD;
      VECTOR weights[STEPS];
      float wide[WORD];
      PREFETCH_AHEAD(values, bits, word);
      expand_int8(bits[word], values, weights);
      UNROLL for (int step = 0; step < STEPS; step++) store(weights[step], wide + step * LANES);
      for (int i = 0; i < WORD; i++) wide[i] *= job->scales[row];
      if (left >= WORD) {
        JOIN(narrow, TYPE)(wide, WORD, to + word * WORD);
      } else {
        JOIN(narrow, TYPE)(wide, left, to + word * WORD);
      }
      values += __builtin_popcountll(bits[word]);
    }
  }
}

TARGET static void JOIN(quantize, TYPE)(const struct job *job, int64_t first, int64_t last) {
  const float half_to_even = 12582912;  // 1.5 * 2^23: adding it rounds to a whole number
  float wide[256];
  for (int64_t row = first; row < last; row++) {
    const int64_t start = job->starts[row], end = job->starts[row + 1];
    uint32_t largest = 0;  // bits of the magnitude, which are ordered like it
    for (int64_t i = start; i < end; i += 256) {
      const int64_t count = end - i < 256 ? end - i : 256;
      JOIN(widen, TYPE)((const ELEMENT *)job->values + i, count, wide);
      for (int64_t j = 0; j < count; j++) {
        const uint32_t magnitude = bits_of(wide[j]) & 0x7fffffff;
        largest = magnitude > largest ? magnitude : largest;
      }
    }
    const float scale = float_of(largest) / 127, divisor = scale > 0 ? scale : 1;
    job->scales[row] = scale;
    for (int64_t i = start; i < end; i += 256) {
      const int64_t count = end - i < 256 ? end - i : 256;
      int8_t *to = (int8_t *)job->out + i;
      JOIN(widen, TYPE)((const ELEMENT *)job->values + i, count, wide);
      for (int64_t j = 0; j < count; j++) {
        float steps = wide[j] / divisor;
        steps = steps > 127 ? 127 : steps < -127 ? -127 : steps;
        to[j] = (int8_t)(int32_t)(steps + half_to_even - half_to_even);
      }
    }
  }
}
