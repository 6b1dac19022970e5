// The part of the Metal shading language that kernel bodies use, on top of the simulator.
// It says nothing about Metal's own type rules, address spaces, fast math or speed.
#pragma once
#include "numbers.h"
#include "scheduler.h"

#define device
#define constant
#define thread
#define threadgroup

template <class T, int N>
struct vec_of;
template <class T>
struct vec_of<T, 4> {
  using type = sim::Vec4<T>;
};
template <class T, int N>
using vec = typename vec_of<T, N>::type;

using ushort = unsigned short;
using uchar = unsigned char;
using half = Half;
using float16_t = Half;
using bfloat16_t = Bfloat;
using float4 = vec<float, 4>;
using half4 = vec<half, 4>;

enum class mem_flags { mem_none, mem_device, mem_threadgroup };
static void threadgroup_barrier(mem_flags) { sim::wait(sim::State::at_barrier); }
static void simdgroup_barrier(mem_flags) { sim::simd_barrier(); }

namespace metal {
template <class T> T simd_sum(T v) { return sim::Lanes<T>(v).reduce([](T a, T b) { return T(a + b); }); }
template <class T> T simd_max(T v) { return sim::Lanes<T>(v).reduce([](T a, T b) { return a > b ? a : b; }); }
template <class T> T simd_min(T v) { return sim::Lanes<T>(v).reduce([](T a, T b) { return a < b ? a : b; }); }
template <class T> T simd_broadcast(T v, ushort lane) { return sim::Lanes<T>(v).from(lane); }
template <class T> T simd_shuffle(T v, ushort lane) { return sim::Lanes<T>(v).from(lane); }
template <class T> T simd_shuffle_xor(T v, ushort mask) { sim::Lanes<T> l(v); return l.from(l.lane ^ mask); }
template <class T> T simd_shuffle_down(T v, ushort n) { sim::Lanes<T> l(v); return l.from(long(l.lane) + n); }
template <class T> T simd_shuffle_up(T v, ushort n) { sim::Lanes<T> l(v); return l.from(long(l.lane) - n); }

namespace precise {
template <class T> T exp(T x) { return T(std::exp(float(x))); }
template <class T> T log(T x) { return T(std::log(float(x))); }
template <class T> T tanh(T x) { return T(std::tanh(float(x))); }
template <class T> T sqrt(T x) { return T(std::sqrt(float(x))); }
template <class T> T rsqrt(T x) { return T(1 / std::sqrt(float(x))); }
}  // namespace precise
namespace fast = precise;
using namespace precise;
template <class T> T abs(T x) { return x < T(0) ? T(-x) : x; }
template <class T> T max(T a, T b) { return a > b ? a : b; }
template <class T> T min(T a, T b) { return a < b ? a : b; }
inline float4 abs(float4 v) { return {abs(v.x), abs(v.y), abs(v.z), abs(v.w)}; }
inline float4 max(float4 a, float4 b) { return {max(a.x, b.x), max(a.y, b.y), max(a.z, b.z), max(a.w, b.w)}; }
}  // namespace metal
using namespace metal;
