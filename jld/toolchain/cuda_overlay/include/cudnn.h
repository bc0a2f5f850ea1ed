// For Jittor 1.3.11, written against cuDNN 8.
#pragma once
#include "toolkit/cudnn.h"
#ifdef __cplusplus
#if CUDNN_MAJOR >= 9
// Calls of recurrent layers that cuDNN 9 dropped: callers compile, and are refused when they run. Can go when
// Jittor uses cudnnRNNForward.
#define JLD_DROPPED(name) \
    template <class... Arguments> static inline cudnnStatus_t name(Arguments...) { \
        return CUDNN_STATUS_NOT_SUPPORTED; \
    }
JLD_DROPPED(cudnnSetRNNDescriptor_v6)
JLD_DROPPED(cudnnGetRNNParamsSize)
JLD_DROPPED(cudnnGetRNNWorkspaceSize)
JLD_DROPPED(cudnnGetRNNTrainingReserveSize)
JLD_DROPPED(cudnnGetRNNLinLayerMatrixParams)
JLD_DROPPED(cudnnGetRNNLinLayerBiasParams)
JLD_DROPPED(cudnnRNNForwardTraining)
JLD_DROPPED(cudnnRNNForwardInference)
JLD_DROPPED(cudnnRNNBackwardData)
JLD_DROPPED(cudnnRNNBackwardWeights)
#undef JLD_DROPPED
#endif
// Jittor asks for convolutions that accumulate in the type of their result: bfloat16 has no such convolution
// and float16 loses digits. Both accumulate in float32 here, on tensor cores. Can go when Jittor does so.
static inline cudnnStatus_t jld_set_convolution(
    cudnnConvolutionDescriptor_t descriptor, int axes, const int* padding, const int* stride,
    const int* dilation, cudnnConvolutionMode_t mode, cudnnDataType_t type) {
    const bool low = type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16;
    cudnnStatus_t status = cudnnSetConvolutionNdDescriptor(
        descriptor, axes, padding, stride, dilation, mode, low ? CUDNN_DATA_FLOAT : type);
    if (status == CUDNN_STATUS_SUCCESS && low)
        status = cudnnSetConvolutionMathType(descriptor, CUDNN_TENSOR_OP_MATH);
    return status;
}
#define cudnnSetConvolutionNdDescriptor jld_set_convolution
#endif
