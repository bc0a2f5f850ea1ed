// A driver with as many cards as STAND_IN_GPUS says, of capability STAND_IN_CAPABILITY, for STAND_IN_CUDA.
#include <cstdio>
#include <cstdlib>
#define API extern "C" __attribute__((visibility("default")))
static int number(const char* name, int otherwise) {
    const char* text = getenv(name);
    return text ? atoi(text) : otherwise;
}
API int cuInit(unsigned) { return 0; }
API int cuDeviceGetCount(int* count) { *count = number("STAND_IN_GPUS", 1); return 0; }
API int cuDriverGetVersion(int* version) { *version = number("STAND_IN_CUDA", 13000); return 0; }
API int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return 0; }
API int cuDeviceGetName(char* name, int size, int device) { snprintf(name, size, "Stand-in %d", device); return 0; }
API int cuDeviceGetAttribute(int* value, int attribute, int) {
    int capability = number("STAND_IN_CAPABILITY", 90);
    *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 0;
    return 0;
}
