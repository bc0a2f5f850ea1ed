// For Jittor 1.3.11: inside namespace jittor its min and max of half precision hide those of integers, so
// that kernels of half precision calling min(int, int) are ambiguous. Can go when Jittor declares them.
#pragma once
#include "toolkit/cuda_bf16.h"
#if defined(__cplusplus) && defined(__CUDACC__)
#include <type_traits>
namespace jittor {
template <class A, class B>
using arithmetic_result = typename std::enable_if<
    std::is_arithmetic<A>::value && std::is_arithmetic<B>::value, typename std::common_type<A, B>::type>::type;

template <class A, class B> __host__ __device__ inline arithmetic_result<A, B> min(A a, B b) {
    return b < a ? b : a;
}
template <class A, class B> __host__ __device__ inline arithmetic_result<A, B> max(A a, B b) {
    return b > a ? b : a;
}
}  // namespace jittor
#endif
