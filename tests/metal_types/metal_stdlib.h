// What metal_stdlib declares of the names that kernel bodies use. Address spaces are real, nothing is defined.
#pragma once
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define device __global
#define constant __constant
#define thread __private
#define threadgroup __local
#define METAL_FUNC inline

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long int64_t;
typedef uchar uint8_t;
typedef ushort uint16_t;
typedef uint uint32_t;
typedef ulong uint64_t;
typedef __bf16 bfloat;
typedef half float16_t;
typedef bfloat bfloat16_t;

namespace metal {
template <class T, int N>
using vec = T __attribute__((ext_vector_type(N)));
#define VECTORS(T) using T##2 = vec<T, 2>; using T##3 = vec<T, 3>; using T##4 = vec<T, 4>;
VECTORS(float) VECTORS(half) VECTORS(bfloat) VECTORS(int) VECTORS(uint) VECTORS(short) VECTORS(ushort)

// Metal's `float4(...)`, which OpenCL spells otherwise: one scalar for all parts, one for each, or a vector of as many.
template <class T> struct parts { enum { n = 1 }; using scalar = T; };
template <class T> struct parts<vec<T, 2>> { enum { n = 2 }; using scalar = T; };
template <class T> struct parts<vec<T, 3>> { enum { n = 3 }; using scalar = T; };
template <class T> struct parts<vec<T, 4>> { enum { n = 4 }; using scalar = T; };
template <class V> using scalar_of = typename parts<V>::scalar;
template <bool, class T> struct only_if {};
template <class T> struct only_if<true, T> { using type = T; };
template <class V, int N> using with_parts = typename only_if<parts<V>::n == N, V>::type;

template <class V> V vector_of_(scalar_of<V> all) { return V(all); }
template <class V> with_parts<V, 2> vector_of_(scalar_of<V> x, scalar_of<V> y) { return V{x, y}; }
template <class V> with_parts<V, 3> vector_of_(scalar_of<V> x, scalar_of<V> y, scalar_of<V> z) { return V{x, y, z}; }
template <class V>
with_parts<V, 4> vector_of_(scalar_of<V> x, scalar_of<V> y, scalar_of<V> z, scalar_of<V> w) {
  return V{x, y, z, w};
}
template <class V, class U, int N> with_parts<V, N> vector_of_(vec<U, N> v) { return __builtin_convertvector(v, V); }

#define TOGETHER __attribute__((convergent))
enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
TOGETHER void threadgroup_barrier(mem_flags);
TOGETHER void simdgroup_barrier(mem_flags);

// Which types an operation takes, as the specification's tables say; what they leave out is refused, not converted.
#define FLOATS(F) F(float) F(half) F(bfloat)
#define NUMBERS(F) FLOATS(F) F(int) F(uint) F(short) F(ushort)
#define SIZES(F, T) F(T) F(T##2) F(T##3) F(T##4)

#define SIMD(T) \
  TOGETHER T simd_sum(T); TOGETHER T simd_product(T); TOGETHER T simd_max(T); TOGETHER T simd_min(T); \
  TOGETHER T simd_broadcast(T, ushort); TOGETHER T simd_broadcast_first(T); TOGETHER T simd_shuffle(T, ushort); \
  TOGETHER T simd_shuffle_xor(T, ushort); TOGETHER T simd_shuffle_up(T, ushort); \
  TOGETHER T simd_shuffle_down(T, ushort); TOGETHER T simd_prefix_inclusive_sum(T);
#define SIMDS(T) SIZES(SIMD, T)
NUMBERS(SIMDS)
bool simd_sum(bool) = delete;
bool simd_product(bool) = delete;
bool simd_max(bool) = delete;
bool simd_min(bool) = delete;

#define COMMON(T) T min(T, T); T max(T, T); T abs(T); T clamp(T, T, T);
#define COMMONS(T) SIZES(COMMON, T)
NUMBERS(COMMONS)
#define MIXED(V) \
  V min(V, scalar_of<V>) = delete; V min(scalar_of<V>, V) = delete; \
  V max(V, scalar_of<V>) = delete; V max(scalar_of<V>, V) = delete;
#define MIXEDS(T) MIXED(T##2) MIXED(T##3) MIXED(T##4)
NUMBERS(MIXEDS)

#define MATH(T) \
  T exp(T); T log(T); T tanh(T); T sqrt(T); T rsqrt(T); T sin(T); T cos(T); T pow(T, T); T floor(T); T ceil(T);
#define MATHS(T) SIZES(MATH, T)
namespace precise { FLOATS(MATHS) }
namespace fast { MATHS(float) }
using namespace precise;

#define REAL(T) T fma(T, T, T); T fabs(T); T fmax(T, T); T fmin(T, T); T fract(T);
#define REALS(T) SIZES(REAL, T)
REALS(float) REALS(half)
bool isnan(float);
bool isinf(float);
float dot(float4, float4);
half dot(half4, half4);
}  // namespace metal
using namespace metal;
