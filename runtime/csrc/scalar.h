// Operations on words that need no vector instructions.

TARGET INLINE uint64_t nonzero_16(const uint16_t *from) {
  uint64_t bits = 0;
  for (int i = 0; i < WORD; i++) bits |= (uint64_t)((from[i] & 0x7fff) != 0) << i;
  return bits;
}

TARGET INLINE uint64_t nonzero_32(const float *from) {
  uint64_t bits = 0;
  for (int i = 0; i < WORD; i++) bits |= (uint64_t)((bits_of(from[i]) & 0x7fffffff) != 0) << i;
  return bits;
}
