// Half-precision numbers as storage: float inside, rounded to nearest even at each store.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

struct Half {
  uint16_t bits;
  Half() = default;
  Half(float x) {
    uint32_t all = bits_of(x), sign = all >> 16 & 0x8000, size = all & 0x7FFFFFFF;
    if (size > 0x7F800000) bits = 0x7E00;
    else if (size >= 0x477FF000) bits = sign | 0x7C00;  // 65520 and more round to infinity
    else if (size < 0x38800000) bits = sign | uint32_t(std::nearbyint(float_of(size) * 16777216.0f));  // subnormal
    else bits = sign | (((size + 0xFFF + (size >> 13 & 1)) >> 13) - (112 << 10));
  }
  operator float() const {
    uint32_t sign = uint32_t(bits & 0x8000) << 16, size = bits & 0x7FFF;
    if (size < 0x400) return std::copysign(size / 16777216.0f, float_of(sign));
    return float_of(sign | ((size >= 0x7C00 ? 224 << 10 : 112 << 10) + size) << 13);
  }
};

struct Bfloat {
  uint16_t bits;
  Bfloat() = default;
  Bfloat(float x) {
    uint32_t all = bits_of(x);
    bits = x != x ? 0x7FC0 : (all + 0x7FFF + (all >> 16 & 1)) >> 16;
  }
  operator float() const { return float_of(uint32_t(bits) << 16); }
};
