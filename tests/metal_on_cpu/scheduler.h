// Runs a grid, one threadgroup after another, its simdgroups in lock step between barriers; all orders are shuffled.
#pragma once
#include "memory.h"

namespace sim {

static void resume(Fiber& fiber) {
  if (_setjmp(scheduler)) return;
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  setcontext(&fiber.start);
}

static uint random_below(uint n) {
  if (!random_state) return 0;  // seed 0: lowest thread first
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state % n;
}

// Runs every ready lane up to its next barrier or simd operation, in random order; false after a fault.
static bool run_simdgroup(uint first) {
  uint end = std::min<uint>(first + SIMD, fibers.size()), live = 0, waiting = 0, lanes = 0, ready[SIMD], n = 0;
  for (uint i = first; i < end; ++i)
    if (fibers[i].state == State::ready) ready[n++] = i;
  while (n) {
    uint pick = random_below(n);
    current = ready[pick];
    std::copy(ready + pick + 1, ready + n--, ready + pick);
    resume(fibers[current]);
    if (message[0]) return false;
  }
  for (uint i = first; i < end; ++i) {
    live += fibers[i].state != State::done;
    waiting += fibers[i].state == State::at_simd;
    lanes |= uint(fibers[i].state == State::at_simd) << (i - first);
  }
  for (uint i = first; i < end && waiting == live; ++i) {
    if (fibers[i].state == State::at_simd) fibers[i].state = State::ready;
    fibers[i].lanes_met = lanes;
  }
  return true;
}

static void start_group(void (*entry)(), uint3 size) {
  uint n = size.x * size.y * size.z;
  group_size = size;
  epoch = 1;
  fibers.assign(n, {});
  stacks.assign(n * STACK_BYTES, char(0xFF));  // private variables start as poison too
  for (Poisoned* array : shared_arrays) array->poison();
  for (uint i = 0; i < n; ++i) {
    Fiber& f = fibers[i];
    f.flat = i;
    f.position = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    getcontext(&f.start);
    f.start.uc_stack.ss_sp = &stacks[i * STACK_BYTES];
    f.start.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f.start, entry, 0);
  }
}

// Runs one threadgroup to its end; false, with `message` set, after a fault.
static bool run_group(void (*entry)(), uint3 size) {
  start_group(entry, size);
  for (;;) {
    std::vector<uint> runnable;
    uint done = 0, at_barrier = 0, n = fibers.size();
    for (const Fiber& f : fibers) {
      done += f.state == State::done;
      at_barrier += f.state == State::at_barrier;
      uint first = f.flat / SIMD * SIMD;
      if (f.state == State::ready && (runnable.empty() || runnable.back() != first)) runnable.push_back(first);
    }
    if (done == n) return true;
    if (!runnable.empty()) {
      if (!run_simdgroup(runnable[random_below(runnable.size())])) return false;
    } else if (at_barrier == n) {
      for (Fiber& f : fibers) f.state = State::ready;
      ++epoch;
    } else if (at_barrier + done < n) {
      snprintf(message, sizeof message, "divergent simd operation: only some lanes of a simdgroup reached it");
      return false;
    } else {
      snprintf(message, sizeof message, "divergent barrier: %u of %u threads reached it, %u returned", at_barrier, n, done);
      return false;
    }
  }
}

static uint3 whole_group(uint3 grid, uint3 size, bool clamp) {
  if (clamp) size = {std::min(size.x, grid.x), std::min(size.y, grid.y), std::min(size.z, grid.z)};
  return size;
}

static uint3 position_in_grid(uint3 size) {
  uint3 at = me().position;
  return {group.x * size.x + at.x, group.y * size.y + at.y, group.z * size.z + at.z};
}

static uint3 groups_in(uint3 grid, uint3 size) {
  return {(grid.x + size.x - 1) / size.x, (grid.y + size.y - 1) / size.y, (grid.z + size.z - 1) / size.z};
}

// Runs all groups in random order. `clamp`: the edge groups are short, as with Metal's dispatch_threads.
static const char* run_grid(void (*entry)(), uint3 grid, uint3 size, bool clamp, uint seed, size_t shared_limit) {
  message[0] = 0;
  random_state = seed;
  if (size.x * size.y * size.z > MAX_THREADS) {
    snprintf(message, sizeof message, "threadgroup of %u threads, limit %u", size.x * size.y * size.z, MAX_THREADS);
    return message;
  }
  uint3 groups = groups_in(grid, size);
  std::vector<uint3> order;
  for (uint z = 0; z < groups.z; ++z)
    for (uint y = 0; y < groups.y; ++y)
      for (uint x = 0; x < groups.x; ++x) order.push_back({x, y, z});
  for (size_t i = order.size(); i > 1 && seed; --i) std::swap(order[i - 1], order[random_below(i)]);
  auto edge = [clamp](uint all, uint step, uint at) { return clamp ? std::min(step, all - at * step) : step; };
  for (uint3 at : order) {
    group = at;
    uint3 here = {edge(grid.x, size.x, at.x), edge(grid.y, size.y, at.y), edge(grid.z, size.z, at.z)};
    if (!run_group(entry, here)) return message;
    if (shared_bytes > shared_limit) {
      snprintf(message, sizeof message, "threadgroup memory: %zu bytes, limit %zu", shared_bytes, shared_limit);
      return message;
    }
  }
  return nullptr;
}

}  // namespace sim
