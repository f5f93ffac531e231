// Byte shuffles that move kept elements to their columns (spread) or back (squeeze), by the bits of up to 8 columns.
// The index 0x80 gives zero.

#include "kernels.h"

uint8_t widening[256][32];     // values of 16 bits to the upper halves of 8 lanes of 32 bits, in two vectors of 16 bytes
uint8_t spreading16[256][16];  // 8 values of 16 bits
uint8_t spreading8[256][8];    // 8 values of 8 bits
uint8_t squeezing16[256][16];
uint8_t spreading32[16][16];  // 4 values of 32 bits
uint8_t squeezing32[16][16];

void fill_lookup_tables(void) {
  memset(widening, 0x80, sizeof widening);
  memset(spreading8, 0x80, sizeof spreading8);
  memset(spreading16, 0x80, sizeof spreading16);
  memset(spreading32, 0x80, sizeof spreading32);
  for (int bits = 0; bits < 256; bits++) {
    for (int column = 0, rank = 0; column < 8; column++) {
      if (!(bits >> column & 1)) continue;
      spreading8[bits][column] = (uint8_t)rank;
      for (int byte = 0; byte < 2; byte++) {
        widening[bits][4 * column + 2 + byte] = (uint8_t)(2 * rank + byte);
        spreading16[bits][2 * column + byte] = (uint8_t)(2 * rank + byte);
        squeezing16[bits][2 * rank + byte] = (uint8_t)(2 * column + byte);
      }
      for (int byte = 0; byte < 4 && bits < 16; byte++) {
        spreading32[bits][4 * column + byte] = (uint8_t)(4 * rank + byte);
        squeezing32[bits][4 * rank + byte] = (uint8_t)(4 * column + byte);
      }
      rank++;
    }
  }
}
