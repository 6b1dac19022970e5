// The part of CUDA C++ that kernel bodies use, on top of the simulator; blocks are whole, never short.
#pragma once
#include "numbers.h"
#include "scheduler.h"

#define __device__
#define __forceinline__ inline
#define threadIdx (sim::fibers[sim::current].position)
#define blockIdx (sim::group)
#define blockDim (sim::group_size)

using std::max;
using std::min;
using __half = Half;
using __nv_bfloat16 = Bfloat;
using float4 = sim::Vec4<float>;

static void __syncthreads() { sim::wait(sim::State::at_barrier); }
static void __syncwarp() { sim::simd_barrier(); }
template <class T> T __shfl_xor_sync(uint, T v, int mask) { sim::Lanes<T> l(v); return l.from(l.lane ^ mask); }
template <class T> T __shfl_down_sync(uint, T v, uint n) { sim::Lanes<T> l(v); return l.from(long(l.lane) + n); }
template <class T> T __shfl_sync(uint, T v, int lane) { return sim::Lanes<T>(v).from(lane); }
