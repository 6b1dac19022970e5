// Buffers and threadgroup arrays that check every access: bounds, alignment, uninitialized reads, missing barriers.
#pragma once
#include <type_traits>

#include "fibers.h"

namespace sim {

constexpr int NOBODY = -1, MANY = -2;

// Who touched a scalar last, and in which interval between two barriers.
struct Access {
  uint epoch = 0, simd_epoch = 0;
  int thread = NOBODY, simdgroup = NOBODY;

  bool races(const Fiber& me) const {
    if (epoch != sim::epoch || thread == int(me.flat)) return false;
    return simdgroup != int(me.flat / SIMD) || simd_epoch == me.simd_epoch;
  }
  void note(const Fiber& me) {
    bool again = epoch == sim::epoch;
    thread = again && thread != int(me.flat) ? MANY : int(me.flat);
    simdgroup = again && simdgroup != int(me.flat / SIMD) ? MANY : int(me.flat / SIMD);
    epoch = sim::epoch;
    simd_epoch = me.simd_epoch;
  }
};

struct Shadow {
  Access read, write;
};

enum class Space { input, output, threadgroup };

template <class S>
struct Memory {
  const char* name;
  S* data;
  long size;
  Space space;
  std::vector<Shadow> shadow = {};
  std::vector<int64_t> writers = {};

  static int64_t thread_id() {
    int64_t flat_group = (int64_t(group.z) * 65536 + group.y) * 65536 + group.x;
    return flat_group * 1024 + current;
  }
  S get(long i) {
    if (space == Space::threadgroup) {
      const Fiber& fiber = fibers[current];
      Shadow& s = shadow[i];
      if (s.write.thread == NOBODY) fail("uninitialized read of threadgroup array %s[%ld]", name, i);
      if (s.write.races(fiber)) fail("race on %s[%ld]: no barrier since thread %d wrote it", name, i, s.write.thread);
      s.read.note(fiber);
    } else if (space == Space::output && writers[i] != thread_id()) {
      fail("read of output %s[%ld], which this thread has not written", name, i);
    }
    return data[i];
  }
  void set(long i, S value) {
    if (space == Space::threadgroup) {
      const Fiber& fiber = fibers[current];
      Shadow& s = shadow[i];
      if (s.read.races(fiber)) fail("race on %s[%ld]: written before a barrier while others read it", name, i);
      if (s.write.races(fiber)) fail("race on %s[%ld]: thread %d wrote it too", name, i, s.write.thread);
      s.write = {};
      s.write.note(fiber);
    } else {
      if (writers[i] != NOBODY && writers[i] != thread_id()) fail("race on output %s[%ld]: two threads wrote it", name, i);
      writers[i] = thread_id();
    }
    const_cast<std::remove_const_t<S>&>(data[i]) = value;
  }
};

// One element, so that reads and writes can be told apart.
template <class S>
struct Cell {
  Memory<S>* memory;
  long at;
  operator S() const { return memory->get(at); }
  Cell& operator=(S value) { return memory->set(at, value), *this; }
  Cell& operator=(const Cell& other) { return *this = S(other); }
  Cell& operator+=(S value) { return *this = S(*this) + value; }
  Cell& operator-=(S value) { return *this = S(*this) - value; }
  Cell& operator*=(S value) { return *this = S(*this) * value; }
};

// A short vector as both languages have it: `device vec<T, 4>*` in Metal, float4 in CUDA.
template <class S>
struct alignas(4 * sizeof(S)) Vec4 {
  S x, y, z, w;
  Vec4() = default;
  Vec4(S all) : x(all), y(all), z(all), w(all) {}
  Vec4(S x, S y, S z, S w) : x(x), y(y), z(z), w(w) {}
  template <class U>
  explicit Vec4(const Vec4<U>& v) : x(S(v.x)), y(S(v.y)), z(S(v.z)), w(S(v.w)) {}
  S& operator[](long i) { return i >= 0 && i < 4 ? (&x)[i] : (fail("vector component %ld of 4", i), x); }
  S operator[](long i) const { return const_cast<Vec4&>(*this)[i]; }
  friend Vec4 operator+(Vec4 a, Vec4 b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }
  friend Vec4 operator-(Vec4 a, Vec4 b) { return {a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w}; }
  friend Vec4 operator*(Vec4 a, Vec4 b) { return {a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w}; }
  Vec4& operator+=(Vec4 v) { return *this = *this + v; }
  Vec4& operator*=(Vec4 v) { return *this = *this * v; }
};

// One component of a vector in memory. Metal may write the whole vector back, so a write counts as one of all four.
template <class S>
struct Component {
  Memory<S>* memory;
  long vector, part;
  operator S() const { return memory->get(vector + part); }
  Component& operator=(S value) {
    for (int i = 0; i < 4; ++i) memory->set(vector + i, i == part ? value : memory->data[vector + i]);
    return *this;
  }
  Component& operator=(const Component& other) { return *this = S(other); }
  Component& operator+=(S value) { return *this = S(*this) + value; }
};

template <class S>
struct Cell<Vec4<S>> {
  Memory<S>* memory;
  long at;
  operator Vec4<S>() const { return {memory->get(at), memory->get(at + 1), memory->get(at + 2), memory->get(at + 3)}; }
  Component<S> operator[](long i) const {
    if (i < 0 || i >= 4) fail("vector component %ld of 4 in %s", i, memory->name);
    return {memory, at, i};
  }
  Cell& operator=(Vec4<S> v) {
    for (int i = 0; i < 4; ++i) memory->set(at + i, v[i]);
    return *this;
  }
};

template <class T>
struct Parts {
  using Scalar = T;
  static constexpr long count = 1;
};
template <class S>
struct Parts<Vec4<S>> {
  using Scalar = S;
  static constexpr long count = 4;
};

// What a pointer is on the GPU: a place in an array whose bounds are known.
template <class T>
struct View {
  using S = typename Parts<T>::Scalar;
  Memory<S>* memory;
  long base, size, offset;

  void check(long i, const char* what) const {
    if (i < 0 || i >= size) fail("%s out of bounds: %s[%ld], size %ld", what, memory->name, i, size);
  }
  auto operator[](long i) const {
    check(offset + i, "access");
    long at = base + (offset + i) * Parts<T>::count;
    if constexpr (std::is_const_v<T>)
      return std::remove_const_t<T>(memory->get(at));
    else
      return Cell<T>{memory, at};
  }
  auto operator*() const { return (*this)[0]; }
  View operator+(long n) const { return {memory, base, size, offset + n}; }
  View operator-(long n) const { return *this + -n; }
  View& operator+=(long n) { return offset += n, *this; }
  // For `*(const device vec<T, 4>*)(w + i)`: all parts are checked here, so dereference at once and do not index.
  template <class V>
  explicit operator const V*() const {
    constexpr long parts = sizeof(V) / sizeof(S);
    long at = base + offset * Parts<T>::count;
    check(offset, "vector access");
    check(offset + parts - 1, "vector access");
    if (at % parts) fail("misaligned vector access: %s[%ld], needs a multiple of %ld", memory->name, offset, parts);
    for (long i = 0; i < parts; ++i) memory->get(at + i);
    return reinterpret_cast<const V*>(memory->data + at);
  }
};

template <class S>
void bind(Memory<S>& memory, void* data, long size) {
  memory.data = static_cast<S*>(data);
  memory.size = size;
  if (memory.space == Space::output) memory.writers.assign(size, NOBODY);
}

template <class T>
View<T> view(Memory<T>& memory) {
  return {&memory, 0, memory.size, 0};
}

template <class T, long First, long... Rest>
auto subscript(Memory<typename Parts<T>::Scalar>* memory, long base, long i);

// The rows of a threadgroup array of more than one dimension.
template <class T, long... Dims>
struct Rows {
  Memory<typename Parts<T>::Scalar>* memory;
  long base;
  auto operator[](long i) const { return subscript<T, Dims...>(memory, base, i); }
};

template <class T, long... Dims>
auto rows(Memory<typename Parts<T>::Scalar>* memory, long base) {
  if constexpr (sizeof...(Dims) == 1)
    return View<T>{memory, base, (Dims * ...), 0};
  else
    return Rows<T, Dims...>{memory, base};
}

template <class T, long First, long... Rest>
auto subscript(Memory<typename Parts<T>::Scalar>* memory, long base, long i) {
  if (i < 0 || i >= First) fail("access out of bounds: row %ld of %s, size %ld", i, memory->name, First);
  return rows<T, Rest...>(memory, base + i * (Rest * ... * Parts<T>::count));
}

struct Poisoned {
  virtual void poison() = 0;
};
static std::vector<Poisoned*> shared_arrays;
static size_t shared_bytes = 0;

// A threadgroup array; its contents are poison (NaN) at the start of every group.
template <class T, long... Dims>
struct Shared : Poisoned {
  using S = typename Parts<T>::Scalar;
  static constexpr long count = (Dims * ... * Parts<T>::count);
  alignas(16) std::array<S, count> data;
  Memory<S> memory;

  explicit Shared(const char* name) : memory{name, data.data(), count, Space::threadgroup} {
    shared_arrays.push_back(this);
    shared_bytes += sizeof data;
    poison();
  }
  void poison() override {
    memset((void*)data.data(), 0xFF, sizeof data);
    memory.shadow.assign(count, {});
  }
  auto operator[](long i) { return rows<T, Dims...>(&memory, 0)[i]; }
  auto operator+(long n) { return rows<T, Dims...>(&memory, 0) + n; }
};

}  // namespace sim
