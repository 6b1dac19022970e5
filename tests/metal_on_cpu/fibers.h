// One fiber per GPU thread. A fiber runs until it waits for others, ends, or fails; then the scheduler goes on.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

using uint = unsigned int;
struct uint3 {
  uint x, y, z;
};

namespace sim {

constexpr uint SIMD = 32, MAX_THREADS = 1024;
constexpr size_t STACK_BYTES = 1 << 15;

enum class State { ready, at_simd, at_barrier, done };

struct Fiber {
  ucontext_t start;
  jmp_buf resume;
  bool started;
  State state;
  uint3 position;
  uint flat;
  uint simd_epoch;
  uint simd_operations;
  uint lanes_met;
};

static std::vector<Fiber> fibers;
static std::vector<char> stacks;
static jmp_buf scheduler;
static uint current, epoch, random_state;
static uint3 group, group_size;
static char message[400];

static void leave() { _longjmp(scheduler, 1); }

__attribute__((format(printf, 1, 2))) static void fail(const char* format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(message, sizeof message, format, args);
  va_end(args);
  n = std::min<int>(n, sizeof message - 1);
  snprintf(message + n, sizeof message - n, " (thread %u of group %u,%u,%u)", current, group.x, group.y, group.z);
  leave();
}

static Fiber& me() { return fibers[current]; }

static void finish() {
  me().state = State::done;
  leave();
}

static void wait(State state) {
  Fiber& me = fibers[current];
  me.state = state;
  if (!_setjmp(me.resume)) leave();
}

// The values that the lanes of this thread's simdgroup bring to one simd operation.
template <class T>
struct Lanes {
  std::array<T, SIMD> values;
  std::array<bool, SIMD> live;
  uint lane;

  explicit Lanes(T value) {
    static unsigned char slots[2][MAX_THREADS][32];
    static_assert(sizeof(T) <= sizeof slots[0][0]);
    Fiber& me = fibers[current];
    auto& bank = slots[me.simd_operations++ & 1];
    lane = me.flat % SIMD;
    memcpy(bank[me.flat], &value, sizeof(T));
    wait(State::at_simd);
    uint first = me.flat - lane;
    for (uint i = 0; i < SIMD; ++i) {
      live[i] = me.lanes_met >> i & 1;
      if (live[i]) memcpy((void*)&values[i], bank[first + i], sizeof(T));
    }
  }
  // What another lane holds; poison (NaN) where there is no such lane.
  T from(long source) const {
    if (source >= 0 && source < SIMD && live[source]) return values[source];
    T poison;
    memset((void*)&poison, 0xFF, sizeof poison);
    return poison;
  }
  template <class F>
  T reduce(F f) const {
    T sum = values[lane];
    for (uint i = 0; i < SIMD; ++i)
      if (live[i] && i != lane) sum = f(sum, values[i]);
    return sum;
  }
};

static void simd_barrier() {
  Lanes<char> met(0);
  ++fibers[current].simd_epoch;
}

}  // namespace sim

// g++ calls this when the index of a private array is out of bounds.
struct UbsanPlace {
  const char* file;
  uint line, column;
};
extern "C" void __ubsan_handle_out_of_bounds(UbsanPlace* place, void* index) {
  sim::fail("private array out of bounds: index %ld, line %u of the body", long(index), place->line);
}
