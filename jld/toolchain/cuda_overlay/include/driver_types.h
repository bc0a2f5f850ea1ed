// For Jittor 1.3.11 and CUDA 13, which dropped two fields of cudaDeviceProp that Jittor's helper_cuda.h reads
// in functions nobody calls; any other integer field lets them compile. Can go when Jittor asks
// cudaDeviceGetAttribute instead.
#pragma once
#include "toolkit/driver_types.h"
#define computeMode major
#define clockRate multiProcessorCount
