// For Jittor 1.3.11 and CUDA 13, whose CUB lost the names below; its own files come next on the include path.
// Can go when Jittor uses the iterators of Thrust.
#pragma once
#include_next <cub/cub.cuh>
#if CUB_MAJOR_VERSION >= 3
#include <cstddef>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
namespace cub {
template <class Value, class Offset = std::ptrdiff_t>
using CountingInputIterator = thrust::counting_iterator<Value>;

template <class Value, class Operation, class Input, class Offset = std::ptrdiff_t>
struct TransformInputIterator : thrust::transform_iterator<Operation, Input, Value> {
    __host__ __device__ TransformInputIterator(Input input, Operation operation)
        : thrust::transform_iterator<Operation, Input, Value>(input, operation) {}
};

struct Max {
    template <class T> __host__ __device__ T operator()(const T& a, const T& b) const { return a < b ? b : a; }
};
struct Min {
    template <class T> __host__ __device__ T operator()(const T& a, const T& b) const { return b < a ? b : a; }
};
struct Sum {
    template <class T> __host__ __device__ T operator()(const T& a, const T& b) const { return a + b; }
};

__device__ __forceinline__ unsigned int LaneId() {
    unsigned int lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}
}  // namespace cub
#endif
