// The questions of cuDNN whose answers its callers use.
#include <cstddef>
#define API extern "C" __attribute__((visibility("default")))
struct Performance { int algorithm, status; float ms; size_t memory; int deterministic, math, reserved[3]; };
#define WORKSPACE(name) \
    API int name(void*, void*, void*, void*, void*, int, size_t* size) { *size = 1024; return 0; }
#define FIND(name) \
    API int name(void*, void*, void*, void*, void*, void*, void*, void*, int, int* count, Performance* p, void*, size_t) { \
        *count = 1, p->status = 0, p->algorithm = 1; return 0; \
    }
#define GUESS(name) \
    API int name(void*, void*, void*, void*, void*, int, int* count, Performance* p) { \
        *count = 1, p->status = 0, p->algorithm = 1; return 0; \
    }
WORKSPACE(cudnnGetConvolutionForwardWorkspaceSize)
WORKSPACE(cudnnGetConvolutionBackwardDataWorkspaceSize)
WORKSPACE(cudnnGetConvolutionBackwardFilterWorkspaceSize)
FIND(cudnnFindConvolutionForwardAlgorithmEx)
FIND(cudnnFindConvolutionBackwardDataAlgorithmEx)
FIND(cudnnFindConvolutionBackwardFilterAlgorithmEx)
GUESS(cudnnGetConvolutionForwardAlgorithm_v7)
GUESS(cudnnGetConvolutionBackwardDataAlgorithm_v7)
GUESS(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
