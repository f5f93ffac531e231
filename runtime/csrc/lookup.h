// Operations on words by lookup tables of 8 or 4 bits.
// The variant defines `bytes` (a vector of 16), load16, save16 and shuffle(bytes, indices).

// Offset of the entry of byte i of the bits in a table with entries of 2^log bytes; it has as many bits as the byte.
#define OFFSET(bits, i, log) ((uint32_t)((i) ? (bits) >> (8 * (i) - (log)) : (bits) << (log)) & 255u << (log))
#define ENTRY(table, offset) ((const uint8_t *)(table) + (offset))
#define NIBBLE(bits, i) ((bits) >> (4 * (i)) & 15)

TARGET INLINE void spread_16(uint64_t bits, const uint16_t *values, uint16_t *to) {
  UNROLL for (int i = 0; i < 8; i++) {
    const uint32_t offset = OFFSET(bits, i, 4);
    save16(to + 8 * i, shuffle(load16(values), ENTRY(spreading16, offset)));
    values += __builtin_popcount(offset);
  }
}

TARGET INLINE void squeeze_16(uint64_t bits, const uint16_t *from, uint16_t *to) {
  UNROLL for (int i = 0; i < 8; i++) {
    const uint32_t offset = OFFSET(bits, i, 4);
    save16(to, shuffle(load16(from + 8 * i), ENTRY(squeezing16, offset)));
    to += __builtin_popcount(offset);
  }
}

TARGET INLINE void spread_32(uint64_t bits, const float *values, float *to) {
  UNROLL for (int i = 0; i < 16; i++) {
    save16(to + 4 * i, shuffle(load16(values), spreading32[NIBBLE(bits, i)]));
    values += __builtin_popcountll(NIBBLE(bits, i));
  }
}

TARGET INLINE void squeeze_32(uint64_t bits, const float *from, float *to) {
  UNROLL for (int i = 0; i < 16; i++) {
    save16(to, shuffle(load16(from + 4 * i), squeezing32[NIBBLE(bits, i)]));
    to += __builtin_popcountll(NIBBLE(bits, i));
  }
}
