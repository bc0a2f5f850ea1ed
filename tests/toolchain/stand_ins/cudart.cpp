// A CUDA runtime without a card: device memory is host memory, kernels are counted and not run.
#include <cuda_runtime_api.h>
#include <cstdlib>
#include <cstring>
#define API extern "C" __attribute__((visibility("default")))
API cudaError_t cudaGetDeviceCount(int* count) { *count = 1; return cudaSuccess; }
API cudaError_t cudaGetDevice(int* device) { *device = 0; return cudaSuccess; }
API cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
    memset(p, 0, sizeof *p);
    strcpy(p->name, "Stand-in");
    p->major = 9, p->minor = 0, p->multiProcessorCount = 132, p->totalGlobalMem = 8ull << 30, p->warpSize = 32;
    p->maxThreadsPerBlock = 1024, p->maxThreadsPerMultiProcessor = 2048, p->sharedMemPerBlock = 49152;
    return cudaSuccess;
}
API cudaError_t cudaMalloc(void** p, size_t size) {
    *p = aligned_alloc(512, (size + 511) / 512 * 512);
    return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
API cudaError_t cudaMallocManaged(void** p, size_t size, unsigned) { return cudaMalloc(p, size); }
API cudaError_t cudaMallocHost(void** p, size_t size) { return cudaMalloc(p, size); }
API cudaError_t cudaFree(void* p) { free(p); return cudaSuccess; }
API cudaError_t cudaFreeHost(void* p) { free(p); return cudaSuccess; }
API cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind) {
    memcpy(to, from, size);
    return cudaSuccess;
}
API cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind, cudaStream_t) {
    return cudaMemcpy(to, from, size, kind);
}
API cudaError_t cudaMemset(void* to, int value, size_t size) { memset(to, value, size); return cudaSuccess; }
API cudaError_t cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t) { return cudaMemset(to, value, size); }
API cudaError_t cudaMemGetInfo(size_t* free, size_t* total) { *free = 6ull << 30, *total = 8ull << 30; return cudaSuccess; }
API const char* cudaGetErrorName(cudaError_t) { return "stand-in"; }
API const char* cudaGetErrorString(cudaError_t) { return "stand-in"; }
API cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    switch (attribute) {
        case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
        case cudaDevAttrMultiProcessorCount: *value = 132; break;
        case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
        case cudaDevAttrWarpSize: *value = 32; break;
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 232448; break;
        case cudaDevAttrMaxSharedMemoryPerBlock: *value = 49152; break;
        default: *value = 0;
    }
    return cudaSuccess;
}
API cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* p, const void*) {
    memset(p, 0, sizeof *p);
    p->maxThreadsPerBlock = 1024, p->ptxVersion = 90, p->binaryVersion = 90;
    return cudaSuccess;
}
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, const void*, int, size_t) { *n = 2; return cudaSuccess; }
API cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void*, int, size_t, unsigned) {
    *n = 2;
    return cudaSuccess;
}
API cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t f, void* a) { f(a); return cudaSuccess; }
API cudaError_t cudaStreamAddCallback(cudaStream_t s, cudaStreamCallback_t f, void* a, unsigned) {
    f(s, cudaSuccess, a);
    return cudaSuccess;
}
API cudaError_t cudaStreamCreate(cudaStream_t* s) { *s = (cudaStream_t)1; return cudaSuccess; }
API cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) { return cudaStreamCreate(s); }
API cudaError_t cudaEventCreate(cudaEvent_t* e) { *e = (cudaEvent_t)1; return cudaSuccess; }
API cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) { *ms = 1; return cudaSuccess; }
static long launches;
API long stand_in_launches() { return launches; }
API cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, size_t, cudaStream_t) { launches++; return cudaSuccess; }
API cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void*, void**) { launches++; return cudaSuccess; }
static dim3 grid_of_call, block_of_call;
static size_t memory_of_call;
static void* stream_of_call;
API unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t memory, void* stream) {
    grid_of_call = grid, block_of_call = block, memory_of_call = memory, stream_of_call = stream;
    return 0;
}
API cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* memory, void* stream) {
    *grid = grid_of_call, *block = block_of_call, *memory = memory_of_call, *(void**)stream = stream_of_call;
    return cudaSuccess;
}
